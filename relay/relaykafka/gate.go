package relaykafka

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// The gate, against hazard queued-failure. A session promises that once a record failed, no
// later record of its key is published. A flag that the failure's promise sets is not enough,
// because kgo runs promises in a queue of their own:
//
//	broker answers: batch with r1 (key k) refused
//	kgo fails the batch, queues r1's promise behind the promises of other partitions
//	Deliver hands r2 (key k) to kgo: the flag is not set yet
//	kgo sends r2, the broker takes it
//	r1's promise runs and sets the flag, too late: r1, sent again, is behind r2
//
// So each record's context, which kgo asks before it stages the first batch of a
// partition that has nothing under way, settles first: it waits until every promise
// queued so far has run. After a failure the next batch of the partition is such a
// first batch, and the failure was queued before it: the flag is set by then, the
// context is done, and kgo drops the batch unsent. A later batch needs no asking: it
// follows one that is under way under the same producer epoch, and where that one is
// refused the broker refuses its followers by their sequence numbers.
//
// kgo itself drops a record on its context only where it knows that no broker has it.
// What was sent before the gate closed is retried until its answer is known.

// Done is asked by kgo when it would send the record.
func (it *item) Done() <-chan struct{} {
	it.session.settle()
	return it.session.gate.Done()
}

// Err belongs to Done.
func (it *item) Err() error { return it.session.gate.Err() }

// settle returns once every promise that kgo had queued has run: it queues one more
// behind them. A record without a topic fails at once, and never leaves the client.
//
// kgo holds a partition's lock here. The promises need none of kgo's locks, and
// relay.Ack does not block, so this wait ends.
func (s *session) settle() {
	if s.closed() {
		return
	}
	ran := make(chan struct{})
	s.client.TryProduce(context.Background(), new(kgo.Record), func(*kgo.Record, error) { close(ran) })
	<-ran
}

func (s *session) closed() bool { return s.gate.Err() != nil }

// heldFailures are failed records whose acknowledgement has to wait (hazard delivery-timeout).
//
// While credentials are refused, kgo fails the records that it never sent, and keeps
// those that it did send, for the broker may have them. The relay would take the first
// failure for the end of the session, wait a while for the others, give them up, and send
// them again as new ones: twice, where the broker had them. So such failures are held
// back until every record that was sent has its answer, however long that takes. Nothing
// is lost by it, because nothing could be sent meanwhile.
type heldFailures struct {
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
func (h *heldFailures) begin() { h.on.Store(true) }

// holdBack keeps a failure, if failures are held back and something is still out.
func (s *session) holdBack(it *item, err error) bool {
	if !s.held.on.Load() {
		return false
	}
	s.held.list = append(s.held.list, failure{it, err})
	s.held.size += it.size
	s.releaseHeld()
	return true
}

// releaseHeld acknowledges what was held back, once nothing else is out. kgo calls promises
// one at a time, and what Deliver hands over now is out too until its promise is called.
func (s *session) releaseHeld() {
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
