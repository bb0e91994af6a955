package relaywatermill

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/postroom/postroom/relay"
)

// session is one turn: lanes, each publishing its records one by one.
type session struct {
	sink *Sink
	ack  relay.Ack

	gate context.Context // ends with the first failure, and with Close
	shut context.CancelFunc
	life context.Context // the messages' context: ends with Close
	end  context.CancelFunc

	delivering sync.Mutex // held by Deliver, so that Close can wait for it
	seed       maphash.Seed
	full       bool // a Deliver was stopped: nothing more is taken. What is in the lanes goes its way
	next       int  // the lane of the next record without a key
	lanes      []lane
	running    sync.WaitGroup
	slots      chan struct{} // one for each record that is not acknowledged
}

// lane is a queue of records that are published one after the other. It has a
// goroutine only while it has records.
//
// One Publish takes one message. Publish takes several, but what it has published when it
// fails differs between publishers, and Watermill does not say: a record behind
// the failed one might be out.
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
	if refuses := s.sink.options.Validate; refuses != nil {
		return refuses(r)
	}
	return nil
}

// Deliver implements relay.Session.
func (s *session) Deliver(ctx context.Context, records []*relay.Record) {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	for i, r := range records {
		if err := s.takeSlot(ctx); err != nil {
			// A record of the same key in the next Deliver must not be published. The gate
			// stays as it is: what was taken before is earlier, and publishing it is what
			// drains the session.
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

// laneOf returns the lane of a record: that of its topic and key, or the next in turn.
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

// run publishes what is in the lane, and returns when it is empty.
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

// publish publishes a record, unless one has failed before. Records of a key share a lane,
// so between the look at the gate and Publish none of them can fail.
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

// Close implements relay.Session. It waits for the calls of Publish that are under way.
func (s *session) Close() {
	s.end() // and with it the gate
	s.delivering.Lock()
	defer s.delivering.Unlock()
	s.running.Wait()
}
