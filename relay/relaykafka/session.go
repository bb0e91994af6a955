package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// session is one relay.Session: one client, one idempotent producer.
type session struct {
	sink    *Sink
	client  *kgo.Client
	ack     relay.Ack
	watcher *watcher
	held    heldFailures
	lanes   lanes

	gate       context.Context // ends with the first failure, and with Close
	shut       context.CancelFunc
	life       context.Context // ends with Close
	end        context.CancelFunc
	background sync.WaitGroup

	delivering sync.Mutex // held by Deliver, so that Close can wait for it
	last       *topic     // the topic of the last record that Deliver handled
	full       bool       // a Deliver was stopped: no more records are taken. kgo still sends those it has

	// buffered is the size of all items not acknowledged yet. Each has a positive
	// size, so 0 means that nothing is outstanding.
	buffered atomic.Int64
	wantRoom atomic.Bool
	room     chan struct{} // wakes the Deliver or Close that waits until buffered falls
}

var (
	_ relay.Revalidator    = (*session)(nil)
	_ relay.OutageReporter = (*session)(nil)
	_ relay.Lanes          = (*session)(nil)
)

func newSession(sink *Sink, ack relay.Ack) *session {
	s := &session{sink: sink, ack: ack, room: make(chan struct{}, 1), lanes: newLanes(sink.validator)}
	s.held.over = make(chan struct{})
	s.life, s.end = context.WithCancel(context.Background())
	s.gate, s.shut = context.WithCancel(s.life)
	s.watcher = newWatcher(sink.validator, s.shut)
	return s
}

func (s *session) start(client *kgo.Client) {
	s.client = client
	s.background.Go(func() { s.sink.validator.keepUpToDate(s.life, client, true) })
	s.background.Go(func() {
		s.watcher.run(s.gate, client)
		// kgo drops the records that were never sent. This call returns when no record is buffered, or when
		// Close is called, which handles the rest.
		_ = s.client.AbortBufferedRecords(s.life)
	})
}

// Validate implements relay.Validator.
func (s *session) Validate(r *relay.Record) error { return s.sink.validator.Validate(r) }

// Revalidate implements relay.Revalidator.
func (s *session) Revalidate(ctx context.Context, rejected []*relay.Record) {
	s.sink.validator.askAgainAll(rejected, ctx, s.gate)
}

// Learn implements relay.Lanes.
func (s *session) Learn(ctx context.Context, records []*relay.Record) {
	s.lanes.learn(records, ctx, s.gate)
}

// Lane implements relay.Lanes.
func (s *session) Lane(r *relay.Record) int32 { return s.lanes.lane(r) }

// Ready implements relay.Lanes.
func (s *session) Ready(topic string, lane int32) bool { return s.sink.validator.ready(topic, lane) }

// Outage implements relay.OutageReporter.
func (s *session) Outage() error { return s.watcher.Outage() }

// Deliver implements relay.Session.
func (s *session) Deliver(ctx context.Context, records []*relay.Record) {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if s.closed() {
		s.ackAll(records, s.afterFailure(ctx))
		return
	}
	if s.full { // these records may have the same keys as records that were not taken
		s.ackAll(records, relay.ErrGivenUp)
		return
	}
	e, items := newEncoder(len(records)), make([]item, len(records))
	for i, r := range records {
		it := &items[i]
		if err := s.encode(ctx, e, it, s.topicOf(ctx, r.Topic), r); err != nil {
			s.shut()
			s.ack(r, relay.Rejected(err))
			s.ackAll(records[i+1:], relay.ErrGivenUp)
			return
		}
		if err := s.reserve(ctx, it.size); err != nil {
			// The gate stays open: the records that kgo has are earlier ones, and the session
			// is drained by sending them.
			s.full = true
			if errors.Is(err, relay.ErrGivenUp) {
				err = s.afterFailure(ctx)
			}
			s.ackAll(records[i:], err)
			return
		}
		it.mark = s.watcher.handOver(it.topic, e.now)
		s.client.Produce(context.Background(), &it.wire, promise)
	}
}

// topicOf returns the topic of that name. The first time, it waits until the topic's limit is known.
func (s *session) topicOf(ctx context.Context, name string) *topic {
	if s.last == nil || s.last.name != name {
		t, isNew := s.watcher.topic(name)
		if isNew {
			s.sink.validator.awaitAnswer(t.state, ctx, s.gate)
		}
		s.last = t
	}
	return s.last
}

func (s *session) ackAll(records []*relay.Record, err error) {
	for _, r := range records {
		s.ack(r, err)
	}
}

// reserve waits until size more bytes may be buffered. A record that is larger than the
// whole buffer is taken when no other record is buffered.
func (s *session) reserve(ctx context.Context, size int64) error {
	limit := s.sink.cfg.MaxBufferedBytes
	for {
		if s.closed() {
			return relay.ErrGivenUp
		}
		if held := s.buffered.Load(); held == 0 || held+size <= limit {
			s.buffered.Add(size) // only Deliver adds, so nobody else took the room
			return nil
		}
		if err := s.waitForRoom(ctx, limit-size); err != nil {
			return err
		}
	}
}

// waitForRoom waits until buffered may have fallen to most or lower, or to 0.
func (s *session) waitForRoom(ctx context.Context, most int64) error {
	s.wantRoom.Store(true)
	defer s.wantRoom.Store(false)
	// A release that happened before the line above did not see that somebody waits, so check again.
	if held := s.buffered.Load(); held == 0 || held <= most {
		return nil
	}
	select {
	case <-s.room:
		return nil
	case <-s.gate.Done():
		return relay.ErrGivenUp
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) release(size int64) {
	s.buffered.Add(-size)
	if s.wantRoom.Load() {
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
}

// promise is called by kgo once for each record, one call at a time.
func promise(r *kgo.Record, err error) {
	it := r.Context.(*item)
	s := it.session
	if err == nil {
		it.record.SetPosition(r.Partition, r.Offset)
	} else if err = s.failed(it, err); s.holdBack(it, err) {
		return
	}
	s.finish(it, err)
	s.releaseHeld()
}

func (s *session) finish(it *item, err error) {
	it.topic.done.Add(1)
	it.mark.left.Add(-1)
	s.ack(it.record, err)
	s.release(it.size)
}

// failed closes the gate, and returns the error for the record's acknowledgement.
func (s *session) failed(it *item, err error) error {
	byUs := s.closed() && (errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrAborting) ||
		errors.Is(err, kgo.ErrClientClosed))
	if !byUs && ofTheSource(err) {
		s.held.begin()
		reason := fmt.Errorf("%w; records that kafka may have are kept until it answers", classify(it.record, err))
		s.watcher.failure.Store(&reason)
	}
	s.shut()
	if denied := it.topic.denied.Load(); denied != nil {
		return relay.Rejected(*denied)
	}
	if byUs {
		return relay.ErrGivenUp
	}
	s.sink.validator.failed(it.topic.name, err)
	return classify(it.record, err)
}

// Close implements relay.Session. It does not wait for a broker.
func (s *session) Close() {
	s.end() // and with it the gate
	s.delivering.Lock()
	defer s.delivering.Unlock()
	s.client.Close()
	s.background.Wait()
	// Closing makes kgo queue the promises of all records that are left. They run on a goroutine of kgo's.
	s.wantRoom.Store(true)
	for s.buffered.Load() != 0 {
		<-s.room
	}
}

// item is a record on its way through the client. It is also the context of the kgo record.
// Through it the promise finds the item without a closure for each record, and the gate
// cancels records that were not sent (gate.go).
type item struct {
	context.Context // the session's

	session *session
	topic   *topic
	mark    *mark
	record  *relay.Record
	wire    kgo.Record
	size    int64 // bytes that it holds in memory, counted for MaxBufferedBytes
}

// encode fills the item with r. An error is a rejection.
func (s *session) encode(ctx context.Context, e *encoder, it *item, t *topic, r *relay.Record) error {
	size, err := e.encode(&it.wire, r)
	if err != nil {
		return err
	}
	if err := s.sink.validator.validateEncoded(t.state, r.Key, aloneSize(&it.wire), ctx, s.gate); err != nil {
		return fmt.Errorf("row %d: %w", r.ID, err)
	}
	it.Context, it.session, it.topic, it.record, it.size = s.gate, s, t, r, size
	it.wire.Topic, it.wire.Context = t.name, it
	return nil
}
