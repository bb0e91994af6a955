package conformance

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/postroom/postroom/relay"
)

// published is what a sink was given, copied before it was acknowledged.
type published struct {
	id      int64
	eventID uuid.UUID
	topic   string
	key     []byte
	value   []byte
	headers []relay.Header
}

// sink keeps what is published, and misbehaves on command. Commands are set before
// the relay starts, or with set.
type sink struct {
	mu        sync.Mutex
	published []published
	held      []heldAck
	sessions  int // opened
	closed    int

	unacked, maxUnacked           int
	unackedBytes, maxUnackedBytes int

	hold    bool                        // keep acknowledgements until release
	fail    func(*relay.Record) error   // nil: published
	refuse  func([]*relay.Record) error // judges a whole delivery; its error is everyone's
	block   chan struct{}               // Deliver waits until it is closed, and says so
	blocked chan struct{}               // a signal for each Deliver that waits
	onOpen  func(session int) error     // counted from 1
	check   func(context.Context) error // nil: can be reached
}

type heldAck struct {
	session *sinkSession
	record  *relay.Record
	size    int
}

type sinkSession struct {
	sink    *sink
	ack     relay.Ack
	failed  bool // nothing is published behind a failure
	isEnded bool
}

func (s *sink) set(change func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *sink) Check(ctx context.Context) error {
	if s.check != nil {
		return s.check(ctx)
	}
	return nil
}

func (s *sink) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	if s.onOpen != nil {
		if err := s.onOpen(s.sessions); err != nil {
			s.closed++
			return nil, err
		}
	}
	return &sinkSession{sink: s, ack: ack}, nil
}

func (s *sinkSession) Deliver(ctx context.Context, records []*relay.Record) {
	s.sink.mu.Lock()
	block, blocked := s.sink.block, s.sink.blocked
	s.sink.mu.Unlock()
	if block != nil {
		blocked <- struct{}{}
		select {
		case <-block:
		case <-ctx.Done():
			s.failAll(records, ctx.Err())
			return
		}
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	if s.sink.refuse != nil {
		if err := s.sink.refuse(records); err != nil {
			s.failed = true
			s.answer(records, err)
			return
		}
	}
	for _, r := range records {
		s.take(r)
	}
}

// take publishes one record. The sink is locked.
func (s *sinkSession) take(r *relay.Record) {
	if s.failed || s.isEnded {
		s.ack(r, relay.ErrGivenUp)
		return
	}
	if s.sink.fail != nil {
		if err := s.sink.fail(r); err != nil {
			s.failed = true
			s.ack(r, err)
			return
		}
	}
	headers, err := r.AppendWireHeaders(nil)
	if err != nil {
		s.failed = true
		s.ack(r, relay.Rejected(err))
		return
	}
	s.sink.published = append(s.sink.published, published{
		id: r.ID, eventID: r.EventID, topic: r.Topic, key: bytes.Clone(r.Key), value: bytes.Clone(r.Payload),
		headers: headers,
	})
	if s.sink.hold {
		s.sink.keep(s, r)
		return
	}
	s.ack(r, nil)
}

func (s *sinkSession) failAll(records []*relay.Record, err error) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.failed = true
	s.answer(records, err)
}

func (s *sinkSession) answer(records []*relay.Record, err error) {
	for _, r := range records {
		s.ack(r, err)
	}
}

func (s *sinkSession) Close() {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.isEnded = true
	s.sink.closed++
	s.sink.answerHeld(func(h heldAck) bool { return h.session == s }, relay.ErrGivenUp)
}

// keep holds an acknowledgement back.
func (s *sink) keep(session *sinkSession, r *relay.Record) {
	size := len(r.Topic) + len(r.Key) + len(r.Payload) + len(r.Headers)
	s.held = append(s.held, heldAck{session, r, size})
	s.unacked++
	s.unackedBytes += size
	s.maxUnacked, s.maxUnackedBytes = max(s.maxUnacked, s.unacked), max(s.maxUnackedBytes, s.unackedBytes)
}

func (s *sink) answerHeld(which func(heldAck) bool, err error) {
	var kept []heldAck
	for _, h := range s.held {
		if !which(h) {
			kept = append(kept, h)
			continue
		}
		h.session.ack(h.record, err)
		s.unacked--
		s.unackedBytes -= h.size
	}
	s.held = kept
}

// release acknowledges what was held, and holds no more.
func (s *sink) release() {
	s.set(func(s *sink) {
		s.hold = false
		s.answerHeld(func(heldAck) bool { return true }, nil)
	})
}

// releaseFromTheMiddle acknowledges as release does, those in the middle first.
func (s *sink) releaseFromTheMiddle() {
	s.set(func(s *sink) {
		slices.SortFunc(s.held, func(a, b heldAck) int { return cmp.Compare(a.record.ID, b.record.ID) })
		outwards := make([]heldAck, 0, len(s.held))
		for n, i := len(s.held), 0; i < n; i++ {
			outwards = append(outwards, s.held[n/2+(i+1)/2*(1-2*(i%2))])
		}
		s.held = outwards
	})
	s.release()
}

// failHeld acknowledges what is held with err; the session then gives up the rest.
func (s *sink) failHeld(err error) {
	s.set(func(s *sink) {
		for _, h := range s.held {
			h.session.failed = true
		}
		s.answerHeld(func(heldAck) bool { return true }, err)
	})
}

func (s *sink) all() []published {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published[:len(s.published):len(s.published)]
}

func (s *sink) count() int { return len(s.all()) }

// ended reports whether every session of the sink was closed.
func (s *sink) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions > 0 && s.closed == s.sessions
}

// values lists the payloads in the order of publishing.
func (s *sink) values() []string {
	var values []string
	for _, p := range s.all() {
		values = append(values, string(p.value))
	}
	return values
}

// firstCopies lists the payloads without the later copies of an event.
func (s *sink) firstCopies() []string {
	seen := make(map[uuid.UUID]bool)
	var values []string
	for _, p := range s.all() {
		if !seen[p.eventID] {
			values = append(values, string(p.value))
		}
		seen[p.eventID] = true
	}
	return values
}
