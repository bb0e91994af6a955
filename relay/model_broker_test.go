package relay

import (
	"bytes"
	"context"
	"time"

	"pgregory.net/rapid"
)

// modelContext makes every wait end: when somebody waits, the broker answers something.
type modelContext struct{ r *modelRelay }

func (modelContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (modelContext) Err() error                  { return nil }
func (modelContext) Value(any) any               { return nil }
func (c modelContext) Done() <-chan struct{} {
	c.r.resolve()
	return nil
}

// modelSink keeps records until the model resolves them.
type modelSink struct {
	m  *model
	of *modelRelay
}

type modelSession struct {
	m    *model
	ack  Ack
	held []*Record
	gate bool
}

func (s *modelSink) Check(context.Context) error { return nil }
func (s *modelSink) Open(_ context.Context, ack Ack) (Session, error) {
	session := &modelSession{m: s.m, ack: ack}
	s.of.sink = session
	return session, nil
}

// Validate knows half of the events that the broker would reject.
func (s *modelSession) Validate(r *Record) error {
	if s.m.poison[r.EventID] && r.ID%2 == 0 {
		return errRefused
	}
	return nil
}

// Learn, Lane and Ready make a lane unready now and then.
func (s *modelSession) Learn(context.Context, []*Record) {}

func (s *modelSession) Lane(r *Record) int32 {
	return int32(len(r.Key)) + int32(bytes.IndexByte(r.Key, 'b'))
}

func (s *modelSession) Ready(string, int32) bool {
	return s.m.healing || rapid.IntRange(1, 3).Draw(s.m.t, "ready") > 1
}

func (s *modelSession) Deliver(_ context.Context, records []*Record) {
	s.held = append(s.held, records...)
	if s.gate {
		s.giveUp()
	}
}

// Close gives up the unacknowledged records. The broker may have them anyway.
func (s *modelSession) Close() {
	s.gate = true
	if n := len(s.held); n > 0 {
		s.m.repeats = true
		s.arrive()
	}
	s.giveUp()
}

func (s *modelSession) giveUp() {
	for _, r := range s.held {
		s.ack(r, ErrGivenUp)
	}
	s.held = nil
}

func (s *modelSession) publish(r *Record) {
	s.m.log = append(s.m.log, published{id: r.ID, eventID: r.EventID, key: string(r.Key), value: string(r.Payload)})
}

// resolve answers for some of the records: they are delivered, they are rejected as a batch, or there is an
// outage in which the broker may have the first of them.
func (s *modelSession) resolve() {
	if len(s.held) == 0 {
		return
	}
	n := len(s.held)
	if !s.m.healing {
		n = rapid.IntRange(1, len(s.held)).Draw(s.m.t, "answers")
	}
	if s.m.chance("outage", 10, errMem) != nil {
		s.gate = true
		if rapid.Bool().Draw(s.m.t, "it has it") {
			s.publish(s.held[0])
			s.m.repeats = true
		}
		s.ack(s.held[0], errMem)
		s.held = s.held[1:]
		s.giveUp()
		return
	}
	for range n {
		r := s.held[0]
		err := s.m.verdict(r.EventID)
		if err != nil { // every record of the batch gets the error
			s.gate = true
			topic := r.Topic
			for _, r := range s.held[:min(n, len(s.held))] {
				if r.Topic == topic {
					s.ack(r, err)
				} else {
					s.ack(r, ErrGivenUp)
				}
			}
			s.held = s.held[min(n, len(s.held)):]
			s.giveUp()
			return
		}
		s.held = s.held[1:]
		s.publish(r)
		s.ack(r, nil)
	}
}

// crash leaves some of the records with the broker, without an answer.
func (s *modelSession) crash() {
	s.arrive()
	s.held = nil
}

// arrive makes the broker accept some of the first records, without an answer.
func (s *modelSession) arrive() {
	for _, r := range s.held[:rapid.IntRange(0, len(s.held)).Draw(s.m.t, "arrived")] {
		if s.m.verdict(r.EventID) != nil {
			break
		}
		s.publish(r)
	}
}
