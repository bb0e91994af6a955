package relaykafka

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/postroom/postroom/relay"
)

// held are failed records whose acknowledgement has to wait (hazard delivery-timeout).
//
// While credentials are refused, kgo fails the records that it never sent, and keeps
// those that it did send, for the broker may have them. The relay would take the first
// failure for the end of the session, wait a while for the others, give them up, and send
// them again as new ones: twice, where the broker had them. So such failures are held
// back until every record that was sent has its answer, however long that takes. Nothing
// is lost by it, because nothing could be sent meanwhile.
type held struct {
	on   atomic.Bool
	over chan struct{} // closed when they were let go
	once sync.Once

	// The promises' own: kgo calls one at a time.
	list []failure
	size int64
}

type failure struct {
	item *item
	err  error
}

// begin holds failures back from now on. It is called before the gate closes, so that
// whoever finds that closed finds this, too.
func (h *held) begin() { h.on.Store(true) }

// hold keeps a failure, if failures are held back and something is still out.
func (s *session) hold(it *item, err error) bool {
	if !s.held.on.Load() {
		return false
	}
	s.held.list = append(s.held.list, failure{it, err})
	s.held.size += it.size
	s.letGo()
	return true
}

// letGo acknowledges what was held back, once nothing else is out. kgo calls promises
// one at a time, and what Deliver hands over now is out too until its promise is called.
func (s *session) letGo() {
	if len(s.held.list) == 0 || s.buffered.Load() != s.held.size {
		return
	}
	list := s.held.list
	s.held.list, s.held.size = nil, 0
	s.held.on.Store(false)
	s.held.once.Do(func() { close(s.held.over) })
	for _, f := range list {
		s.finish(f.item, f.err)
	}
}

// afterFailure is how records are acknowledged that come when the gate is closed: not
// before the failure that closed it.
func (s *session) afterFailure(ctx context.Context) error {
	if s.held.on.Load() {
		select {
		case <-s.held.over:
		case <-s.life.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return relay.ErrGivenUp
}
