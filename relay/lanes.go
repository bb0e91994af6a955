package relay

import (
	"time"
)

// lane is a part of a topic whose records wait for the same thing.
type lane struct {
	topic  *topicState
	number int32

	// These need the mutex of flights.
	waiting int // records with the sink
	bytes   int64
	moved   bool // some were acknowledged since the last pass

	// The reader's own.
	shelved int
	// drain keeps the lane's rows on the shelf until the sink has none of its records, and
	// rest until then.
	drain bool
	rest  time.Time
	pass  uint64 // in which over was set
	over  bool
	moves bool // it moved before this pass
	// came is how many records of the pass it was given, cameBytes their size.
	came      int
	cameBytes int64
}

// topicState is what a session knows of a topic.
type topicState struct {
	name    string
	waiting int // records with the sink; needs the mutex of flights

	shelved int // the reader's own
	trial   *trial
}

type laneKey struct {
	topic  string
	number int32
}

// laneSet finds the lanes of a session. It belongs to the reader.
type laneSet struct {
	lanes  map[laneKey]*lane
	topics map[string]*topicState
	last   *lane
	prune  int // how many lanes there may be before idle ones are forgotten
	pass   uint64
}

// pruneLanes is how many lanes are kept whatever they do.
const pruneLanes = 4096

func newLaneSet() laneSet {
	return laneSet{lanes: make(map[laneKey]*lane), topics: make(map[string]*topicState), prune: pruneLanes}
}

// laneOf returns the lane that r goes.
func (s *session) laneOf(r *Record) *lane {
	number := int32(0)
	if s.sinkLanes != nil {
		number = s.sinkLanes.Lane(r)
	}
	if last := s.lanes.last; last != nil && last.number == number && last.topic.name == r.Topic {
		return last
	}
	key := laneKey{r.Topic, number}
	l := s.lanes.lanes[key]
	if l == nil {
		l = &lane{topic: s.topicOf(r.Topic), number: number}
		s.lanes.lanes[key] = l
	}
	s.lanes.last = l
	return l
}

func (s *session) topicOf(name string) *topicState {
	t := s.lanes.topics[name]
	if t == nil {
		t = &topicState{name: name, trial: s.trials.topics[name]}
		s.lanes.topics[name] = t
	}
	return t
}

// pruneLanes forgets the lanes of which nothing is with the sink or on the shelf: names
// of topics are without number.
func (s *session) pruneLanes() {
	f := s.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, l := range s.lanes.lanes {
		if l.waiting == 0 && l.shelved == 0 {
			delete(s.lanes.lanes, key)
		}
	}
	for name, t := range s.lanes.topics {
		if t.waiting == 0 && t.shelved == 0 && t.trial == nil {
			delete(s.lanes.topics, name)
		}
	}
	s.lanes.last = nil
	s.lanes.prune = max(pruneLanes, 2*len(s.lanes.lanes))
}

// ready reports whether the sink wants records of the lane now.
func (s *session) ready(l *lane) bool {
	if !l.rest.IsZero() && time.Now().Before(l.rest) {
		return false
	}
	return s.sinkLanes == nil || s.sinkLanes.Ready(l.topic.name, l.number)
}

// split takes from records those whose lanes are full: a lane may hold as much of the
// window as it leaves free for the others. So one that stands still takes half of it at
// most, and n of them leave one part of n+1. A lane that moves is judged by what it held
// before these records, for it empties while they come.
func (s *session) split(records []*Record) (fit, over []*Record) {
	s.lanes.pass++
	f := s.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	rows, bytes := s.relay.cfg.MaxInFlight-len(f.byID), s.relay.cfg.MaxInFlightBytes-f.bytes
	for i, r := range records {
		l := r.lane
		switch {
		case l.pass != s.lanes.pass:
			l.pass, l.over, l.moves, l.moved = s.lanes.pass, l.full(rows, bytes), l.moved, false
			l.came, l.cameBytes = 0, 0
		case !l.over && !l.moves:
			l.over = fills(l.waiting+l.came, l.bytes+l.cameBytes, rows, bytes)
		}
		if l.over {
			if over == nil {
				over = make([]*Record, 0, len(records)-i)
				fit = append(make([]*Record, 0, len(records)), records[:i]...)
			}
			over = append(over, r)
			continue
		}
		size := recordSize(r)
		l.came, l.cameBytes = l.came+1, l.cameBytes+size
		rows, bytes = rows-1, bytes-size
		if over != nil {
			fit = append(fit, r)
		}
	}
	if over == nil {
		return records, nil
	}
	return fit, over
}

// add counts records that the sink was given, or has acknowledged. It needs the mutex of
// flights.
func (l *lane) add(records int, bytes int64) {
	if l != nil {
		l.waiting, l.bytes, l.topic.waiting = l.waiting+records, l.bytes+bytes, l.topic.waiting+records
		l.moved = l.moved || records < 0
	}
}

// full needs the mutex of flights. rows and bytes are what is free.
func (l *lane) full(rows int, bytes int64) bool {
	return fills(l.waiting, l.bytes, rows, bytes)
}

// fills reports whether what is held is as much as what is free.
func fills(held int, heldBytes int64, rows int, bytes int64) bool {
	return held > 0 && (held >= rows || heldBytes >= bytes)
}
