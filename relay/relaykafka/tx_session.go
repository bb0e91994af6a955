package relaykafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// txSession is one session in exactly-once mode: one client, one transactional producer,
// one transaction after another.
//
// Deliver puts records into a queue. A goroutine of the session (run) makes transactions of
// the records that it finds there. So the relay goes on reading while a transaction
// commits, and the next transaction has the records that came meanwhile: between one and
// TransactionRecords.
//
// The first failure ends it. Then Sent of the next session finds out whether the last
// transaction was committed.
type txSession struct {
	sink   *Sink
	source relay.Identity
	ack    relay.Ack
	client *kgo.Client

	topic         manifestTopic
	manifestLimit atomic.Int32 // topic.limit, for kgo's goroutines
	span          span         // the manifests that Sent reads

	attending sync.WaitGroup

	life    context.Context // ends with Close: after that no transaction is begun or filled
	end     context.CancelFunc
	grace   context.Context // ends abortTimeout after life: after that nothing waits for an answer
	cut     context.CancelFunc
	closing sync.Once // closes the client
	done    chan struct{}

	lanes      lanes
	delivering sync.Mutex // held by Deliver, so that Close can wait for it

	mu     sync.Mutex
	queue  []*txItem // records that are neither acknowledged nor in a transaction
	queued int64     // their size
	over   bool      // no record may enter the queue any more
	work   chan struct{}
	room   chan struct{}

	// Only run uses these fields.
	topics map[string]bool // whether each topic exists
	shown  map[string]bool // topics whose partitions kgo knows
	held   []*txItem       // records of topics that do not exist; they come before the queue
	number int64           // of the last transaction

	underWay atomic.Pointer[pendingTransaction]

	confirm   sync.Mutex // for the fields below
	ends      []txEnd    // of committed transactions, in order
	confirmed int64      // offset below which all rows are deleted; -1: nothing is known
	aged      aged       // the manifests to remove next
}

var (
	_ relay.TransactionalSession = (*txSession)(nil)
	_ relay.Revalidator          = (*txSession)(nil)
	_ relay.Lanes                = (*txSession)(nil)
)

func newTxSession(sink *Sink, source relay.Identity, ack relay.Ack) *txSession {
	s := &txSession{
		sink: sink, source: source, ack: ack,
		topic:  manifestTopic{name: manifestTopicName(source.ID)},
		done:   make(chan struct{}),
		work:   make(chan struct{}, 1),
		room:   make(chan struct{}, 1),
		topics: make(map[string]bool),
		shown:  make(map[string]bool),

		confirmed: -1,
		lanes:     newLanes(sink.validator),
	}
	s.grace, s.cut = context.WithCancel(context.Background())
	s.life, s.end = context.WithCancel(s.grace)
	return s
}

// batchMaxBytes is called by kgo when it first sees a partition of a topic.
func (s *txSession) batchMaxBytes(topic string) int32 {
	if limit := s.manifestLimit.Load(); topic == s.topic.name && limit > 0 {
		return limit
	}
	return s.sink.validator.batchMaxBytes(topic)
}

func (s *txSession) start() {
	s.attending.Go(func() { s.sink.validator.keepUpToDate(s.life, s.client, false) })
	go s.run()
}

// Validate implements relay.Validator.
func (s *txSession) Validate(r *relay.Record) error { return s.sink.validator.Validate(r) }

// Revalidate implements relay.Revalidator.
func (s *txSession) Revalidate(ctx context.Context, rejected []*relay.Record) {
	s.sink.validator.askAgainAll(rejected, ctx, s.life)
}

// Learn implements relay.Lanes.
func (s *txSession) Learn(ctx context.Context, records []*relay.Record) {
	s.lanes.learn(records, ctx, s.life)
}

// Lane implements relay.Lanes.
func (s *txSession) Lane(r *relay.Record) int32 { return s.lanes.lane(r) }

// Ready implements relay.Lanes.
func (s *txSession) Ready(topic string, lane int32) bool { return s.sink.validator.ready(topic, lane) }

// Deliver implements relay.Session. It blocks while the queue has enough records for a whole transaction.
func (s *txSession) Deliver(ctx context.Context, records []*relay.Record) {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	items, rejection := s.encode(ctx, records)
	taken, err := s.put(ctx, items)
	if err == nil && rejection != nil {
		s.ack(records[taken], relay.Rejected(rejection))
		taken, err = taken+1, relay.ErrGivenUp
	}
	if err == nil {
		return
	}
	// Later records must not overtake one that was not taken.
	s.close()
	for _, r := range records[taken:] {
		s.ack(r, err)
	}
}

// encode turns records into items. It stops at the first record that every broker would reject.
func (s *txSession) encode(ctx context.Context, records []*relay.Record) ([]*txItem, error) {
	e := newEncoder(len(records))
	slab, items := make([]txItem, len(records)), make([]*txItem, 0, len(records))
	var topic *topicState
	for i, r := range records {
		if topic == nil || topic.topic != r.Topic {
			topic = s.sink.validator.state(r.Topic)
			s.sink.validator.awaitAnswer(topic, ctx, s.life)
		}
		it := &slab[i]
		size, err := e.encode(&it.wire, r)
		if err != nil {
			return items, err
		}
		if err := s.sink.validator.validateEncoded(topic, r.Key, aloneSize(&it.wire), ctx, s.life); err != nil {
			return items, fmt.Errorf("row %d: %w", r.ID, err)
		}
		it.Context, it.record, it.size = context.Background(), r, size
		it.wire.Topic, it.wire.Context = topic.topic, it
		items = append(items, it)
	}
	return items, nil
}

// put moves items to the queue, and returns how many it took.
func (s *txSession) put(ctx context.Context, items []*txItem) (taken int, err error) {
	for {
		n, ok := s.putSome(items[taken:])
		taken += n
		switch {
		case !ok:
			return taken, relay.ErrGivenUp
		case taken == len(items):
			return taken, nil
		}
		select {
		case <-s.room:
		case <-s.done:
			return taken, relay.ErrGivenUp
		case <-s.life.Done():
			return taken, relay.ErrGivenUp
		case <-ctx.Done():
			return taken, ctx.Err()
		}
	}
}

// putSome takes as many records as there is room for. The queue has room for one transaction.
func (s *txSession) putSome(items []*txItem) (taken int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, false
	}
	records, bytes := s.sink.txSize.limits()
	for _, it := range items {
		if len(s.queue) > 0 && (len(s.queue) >= records || s.queued+it.size > bytes) {
			break
		}
		s.queue = append(s.queue, it)
		s.queued += it.size
		taken++
	}
	if len(s.queue) > 0 {
		wake(s.work)
	}
	return taken, true
}

// run makes transactions until one fails or the session is closed.
func (s *txSession) run() {
	defer close(s.done)
	// Some calls of kgo take no context. Closing the client ends them.
	defer context.AfterFunc(s.grace, s.closeClient)()
	defer s.giveUp()
	for s.await() && s.round() {
	}
}

// await waits for work, or until it is time to check the topics of held records again. It reports whether the
// session goes on.
func (s *txSession) await() bool {
	var again <-chan time.Time
	if len(s.held) > 0 {
		timer := time.NewTimer(lookAgain)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-s.work:
	case <-again:
	case <-s.life.Done():
	}
	return s.life.Err() == nil
}

// giveUp ends the session. Records that are held back or in the queue were never sent.
func (s *txSession) giveUp() {
	s.close()
	s.closeClient()
	s.mu.Lock()
	left := append(s.held, s.queue...)
	s.queue, s.held = nil, nil
	s.mu.Unlock()
	for _, it := range left {
		s.ack(it.record, relay.ErrGivenUp)
	}
}

func (s *txSession) takeQueue() []*txItem {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.queue // putSome has kept it within the limits
	s.queue, s.queued = nil, 0
	wake(s.room)
	return items
}

// close stops the queue from accepting records. Records that are in the queue are still handled.
func (s *txSession) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// Close implements relay.Session. It aborts an open transaction. A commit that has begun gets
// time to end, because its answer saves the next session work.
func (s *txSession) Close() {
	s.close()
	s.end()
	timer := time.AfterFunc(abortTimeout, s.cut)
	defer timer.Stop()
	s.delivering.Lock()
	defer s.delivering.Unlock()
	<-s.done
	s.cut()
	s.attending.Wait()
}

// closeClient ends everything that the client is still doing.
func (s *txSession) closeClient() { s.closing.Do(s.client.Close) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
