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
