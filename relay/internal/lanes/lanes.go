// Package lanes knows which records wait for the same thing, which of them wait on the shelf, and which
// topics are on trial after a rejection. It decides about lanes and topics, and never sees a record. Only
// Shelf.Len is safe for concurrent use. The reader uses everything else. Its session uses it too, while the
// reader does not run.
package lanes

import (
	"time"

	"github.com/postroom/postroom/relay/internal/inflight"
)

// Lane is a part of a topic whose records wait for the same thing: a partition, for example.
type Lane struct {
	Load   inflight.Lane // counts the lane's records that the sink has
	Topic  *Topic
	Number int32

	Shelved int // rows on the shelf
	// Drain keeps the lane's rows on the shelf until the sink has none of its records.
	Drain bool
	// Rest is the time until which they stay there.
	Rest time.Time
	// Over says that in the current pass no record of the lane is sent.
	Over bool

	pass      uint64 // the last pass in which the lane had records
	moves     bool   // since the previous decision the sink has acknowledged some of its records
	held      int    // records that it had when the pass began, or got in it
	heldBytes int64
}

// Topic is what a session knows about a topic.
type Topic struct {
	Load    inflight.Topic // counts the topic's records that the sink has; also has the name
	Shelved int
	Trial   *Trial // nil: the topic is not on trial
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.Load.Name }

type laneKey struct {
	topic  string
	number int32
}

// Set finds the lanes of a session.
type Set struct {
	inFlight *inflight.Set
	trials   *Trials
	lanes    map[laneKey]*Lane
	topics   map[string]*Topic
	last     *Lane
	prune    int // number of lanes at which idle ones are forgotten
	pass     uint64
}

// keptLanes is the number of lanes up to which no lane is forgotten.
const keptLanes = 4096

// NewSet returns a Set without a lane.
func NewSet(inFlight *inflight.Set, trials *Trials) *Set {
	return &Set{inFlight: inFlight, trials: trials, lanes: make(map[laneKey]*Lane), topics: make(map[string]*Topic),
		prune: keptLanes}
}

// BeginPass begins a pass over records. In a pass, each lane's room is decided once.
func (s *Set) BeginPass() { s.pass++ }

// First reports whether the pass meets the lane for the first time.
func (s *Set) First(l *Lane) bool {
	if l.pass == s.pass {
		return false
	}
	l.pass = s.pass
	return true
}

// Find returns the lane of a topic with this number.
func (s *Set) Find(topic string, number int32) *Lane {
	if s.last != nil && s.last.Number == number && s.last.Topic.Name() == topic {
		return s.last
	}
	key := laneKey{topic, number}
	l := s.lanes[key]
	if l == nil {
		l = &Lane{Topic: s.Topic(topic), Number: number}
		l.Load.Topic = &l.Topic.Load
		s.lanes[key] = l
	}
	s.last = l
	return l
}

// Topic returns the topic of this name.
func (s *Set) Topic(name string) *Topic {
	t := s.topics[name]
	if t == nil {
		t = &Topic{Load: inflight.Topic{Name: name}, Trial: s.trials.Topics[name]}
		s.topics[name] = t
	}
	return t
}

// Prune forgets the lanes that have no record with the sink and no row on the shelf, if there are many lanes,
// because the number of topics is not bounded. When it is called, only records that the sink has may have a
// lane.
func (s *Set) Prune() {
	if len(s.lanes) < s.prune {
		return
	}
	kept := make(map[*Topic]bool) // topics of the lanes that stay
	for key, l := range s.lanes {
		if waiting, _ := s.inFlight.Load(&l.Load); waiting == 0 && l.Shelved == 0 {
			delete(s.lanes, key)
		} else {
			kept[l.Topic] = true
		}
	}
	for name, t := range s.topics {
		if !kept[t] && t.Trial == nil {
			delete(s.topics, name)
		}
	}
	s.last = nil
	s.prune = max(keptLanes, 2*len(s.lanes))
}

// Take reports whether a record of this size may join its lane. rows and bytes are the free part of the
// window without the record. A lane may hold as much of the window as it leaves free for the others. So one
// blocked lane takes at most half of the window, and n blocked lanes leave 1/(n+1) of it free. For a lane
// whose records are being acknowledged, only the records count that it had when the pass began, because it
// becomes emptier while new records arrive.
func (s *Set) Take(l *Lane, size int64, rows int, bytes int64) bool {
	if s.First(l) {
		l.held, l.heldBytes, l.moves = s.inFlight.Progress(&l.Load)
		l.Over = full(l.held, l.heldBytes, rows, bytes)
	} else if !l.Over && !l.moves {
		l.Over = full(l.held, l.heldBytes, rows, bytes)
	}
	if l.Over {
		return false
	}
	l.held, l.heldBytes = l.held+1, l.heldBytes+size
	return true
}

// HasRoom reports whether a lane may have more records, if rows and bytes of the window are free. It ends a
// Drain when the sink has none of the lane's records.
func (s *Set) HasRoom(l *Lane, rows int, bytes int64) bool {
	waiting, waitingBytes := s.inFlight.Load(&l.Load)
	l.Drain = l.Drain && waiting > 0
	return !l.Drain && !full(waiting, waitingBytes, rows, bytes)
}

// full reports whether a lane holds at least as much as is free.
func full(held int, heldBytes int64, rows int, bytes int64) bool {
	return held > 0 && (held >= rows || heldBytes >= bytes)
}
