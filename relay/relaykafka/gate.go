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
//	broker answers: batch with r1 (key k) rejected
//	kgo fails the batch, queues r1's promise behind the promises of other partitions
//	Deliver hands r2 (key k) to kgo: the flag is not set yet
//	kgo sends r2, the broker takes it
//	r1's promise runs and sets the flag, too late: r1, sent again, is behind r2
//
// So each record's context waits until every promise that is queued has run. kgo looks at
// the context before it sends the first batch of a partition that has no batch under way.
// After a failure the next batch of the partition is such a first batch, and the promise
// of the failure was queued before it. So the flag is set by then, the context is done,
// and kgo drops the batch unsent. Later batches need no check: they follow a batch that is
// under way with the same producer epoch. If the broker rejects that one, it rejects those
// that follow by their sequence numbers.
//
// kgo drops a record because of its context only if no broker can have it. Records that
// were sent before the gate closed are retried until their answer is known.

// Done is called by kgo before it sends the record.
func (it *item) Done() <-chan struct{} {
	it.session.settle()
	return it.session.gate.Done()
}

// Err belongs to Done.
func (it *item) Err() error { return it.session.gate.Err() }

// settle returns when every promise that kgo had queued has run. It queues one more behind
// them, that of a record without a topic, which fails at once and never leaves the client.
//
// kgo holds a partition's lock meanwhile. The promises need none of kgo's locks, and
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
// While credentials are rejected, kgo fails the records that it never sent, and keeps those
// that it sent, because the broker may have them. The first failure would end the relay's
// session: the relay would wait a while for the others, give them up, and send them again
// as new records. Those that the broker had would be there twice. So such failures are
// held back until every record that was sent has its answer, however long that takes.
// This costs nothing, because nothing could be sent meanwhile.
type heldFailures struct {
	on   atomic.Bool
	over chan struct{} // closed when the failures were released
	once sync.Once

	// Only promises use these fields, and kgo calls one promise at a time.
	list []failure
	size int64
}

type failure struct {
	item *item
	err  error
}

// begin holds failures back from now on. It is called before the gate closes, so that
// everybody who sees the closed gate sees this too.
func (h *heldFailures) begin() { h.on.Store(true) }

// holdBack keeps a failure if failures are held back. It reports whether it did.
func (s *session) holdBack(it *item, err error) bool {
	if !s.held.on.Load() {
		return false
	}
	s.held.list = append(s.held.list, failure{it, err})
	s.held.size += it.size
	s.releaseHeld()
	return true
}

// releaseHeld acknowledges the failures that were held back, when all other records have
// their answers. kgo calls promises one at a time. A record that Deliver hands over now has
// no answer until its promise is called.
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

// afterFailure returns the error for records that come when the gate is closed. It waits
// until the failure that closed the gate is acknowledged.
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
