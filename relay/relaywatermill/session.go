package relaywatermill

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/postroom/postroom/relay"
)

// session is one session of the sink. It has lanes, and each lane publishes its records one by one.
type session struct {
	sink *Sink
	ack  relay.Ack

	gate context.Context // ends with the first failure, and with Close
	shut context.CancelFunc
	life context.Context // context of the messages; ends with Close
	end  context.CancelFunc

	delivering sync.Mutex // held by Deliver, so that Close can wait for it
	seed       maphash.Seed
	full       bool // a Deliver was stopped: no more records are accepted, and those in the lanes are still published
	next       int  // lane of the next record without a key
	lanes      []lane
	running    sync.WaitGroup
	slots      chan struct{} // one for each record that is not acknowledged
}

// lane is a queue of records that are published one after another. It has a goroutine only while it has
// records.
//
// Each Publish gets one message. Publish accepts several, but Watermill does not say which of them were
// published when it fails, and publishers differ. A record behind the failed one might be published.
type lane struct {
	mu      sync.Mutex
	queue   []*relay.Record
	running bool
}

func newSession(sink *Sink, ack relay.Ack) *session {
	s := &session{
		sink:  sink,
		ack:   ack,
		seed:  maphash.MakeSeed(),
		lanes: make([]lane, sink.options.Lanes),
		slots: make(chan struct{}, sink.options.Buffer),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.gate, s.shut = context.WithCancel(s.life)
	return s
}

var _ relay.Validator = (*session)(nil)

// Validate implements relay.Validator.
func (s *session) Validate(r *relay.Record) error {
	if validate := s.sink.options.Validate; validate != nil {
		return validate(r)
	}
	return nil
}

// Deliver implements relay.Session.
func (s *session) Deliver(ctx context.Context, records []*relay.Record) {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	for i, r := range records {
		if err := s.takeSlot(ctx); err != nil {
			// A record of the same key in the next Deliver must not be published. The gate stays open,
			// because the records that were accepted before are earlier ones, and publishing them drains the
			// session.
			s.full = true
			for _, r := range records[i:] {
				s.ack(r, err)
			}
			return
		}
		s.enqueue(s.laneOf(r), r)
	}
}

func (s *session) takeSlot(ctx context.Context) error {
	if s.full || s.closed() {
		return relay.ErrGivenUp
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-s.gate.Done():
		return relay.ErrGivenUp
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) closed() bool { return s.gate.Err() != nil }

// laneOf returns the lane of a record: the lane of its topic and key. A record without a key gets the next
// lane in turn.
func (s *session) laneOf(r *relay.Record) *lane {
	n := uint64(len(s.lanes))
	if r.Key == nil {
		s.next++
		return &s.lanes[uint64(s.next)%n]
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(r.Topic)
	h.WriteByte(0)
	h.Write(r.Key)
	return &s.lanes[h.Sum64()%n]
}

func (s *session) enqueue(l *lane, r *relay.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, r)
	if !l.running {
		l.running = true
		s.running.Go(func() { s.run(l) })
	}
}

// run publishes the records of a lane, and returns when the lane is empty.
func (s *session) run(l *lane) {
	var batch []*relay.Record
	for {
		l.mu.Lock()
		batch, l.queue = l.queue, batch[:0]
		if len(batch) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for i, r := range batch {
			s.ack(r, s.publish(r))
			<-s.slots
			batch[i] = nil
		}
	}
}

// publish publishes a record, unless another one has failed before. Records of a key share a lane, so none of
// them can fail between the check of the gate and Publish.
func (s *session) publish(r *relay.Record) error {
	if s.closed() {
		return relay.ErrGivenUp
	}
	msg, err := s.sink.toMessage(s.life, r)
	if err != nil {
		s.shut()
		return relay.Rejected(err)
	}
	if err := s.sink.publisher.Publish(r.Topic, msg); err != nil {
		s.shut()
		err = fmt.Errorf("publish row %d to topic %s: %w", r.ID, r.Topic, err)
		if rejected := s.sink.options.Rejected; rejected != nil && rejected(r.Topic, err) {
			return relay.Rejected(err)
		}
		if s.life.Err() != nil { // it may have failed because its context ended
			return fmt.Errorf("%w: %w", relay.ErrGivenUp, err)
		}
		return err
	}
	return nil
}

// Close implements relay.Session. It waits for running calls of Publish.
func (s *session) Close() {
	s.end() // this also closes the gate
	s.delivering.Lock()
	defer s.delivering.Unlock()
	s.running.Wait()
}
