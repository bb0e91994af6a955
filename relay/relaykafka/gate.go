package relaykafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
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
