// Package inflight knows which rows were read and are not deleted yet: which rows a read must not return as
// new, which rows the deleter has to delete, and which records the sink still has.
package inflight

import (
	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
)

// Entry is a row that was read and is not deleted yet. The Set that has it guards acked and failed. A session
// sets the other fields before it acknowledges the record.
type Entry struct {
	ID      int64 // the row's id
	Seq     int64 // seq of a row in outbox_parked; 0: the row is in outbox_events
	EventID uuid.UUID
	Size    int64
	Hash    uint64 // hash of topic and key; 0: no key
	Lane    *Lane  // nil: no lane counts it

	acked  bool
	failed bool

	Placed      bool // Partition and Offset are known
	Partition   int32
	Offset      int64
	Transaction int64 // number of the sink's transaction; 0: there is none
}

// key is the entry's key in a set. A parked row has a key of its own, because its ID may belong to another
// row by now.
func (e *Entry) key() int64 {
	if e.Seq > 0 {
		return -e.Seq
	}
	return e.ID
}

// Event names the row and the event that it holds.
func (e *Entry) Event() store.Event { return store.Event{ID: e.ID, EventID: e.EventID} }

// Delivered returns the row, and where the sink put it.
func (e *Entry) Delivered() store.Delivered {
	return store.Delivered{Event: e.Event(), Size: e.Size, Partition: e.Partition, Offset: e.Offset,
		Placed: e.Placed}
}

// DeliveredParked does the same for a row of outbox_parked.
func (e *Entry) DeliveredParked() store.DeliveredParked {
	return store.DeliveredParked{ParkedEvent: store.ParkedEvent{Seq: e.Seq, EventID: e.EventID}, Size: e.Size,
		Partition: e.Partition, Offset: e.Offset, Placed: e.Placed}
}

// Delivered does the same for all entries.
func Delivered(entries []*Entry) []store.Delivered {
	list := make([]store.Delivered, len(entries))
	for i, e := range entries {
		list[i] = e.Delivered()
	}
	return list
}

// Events returns the rows of all entries.
func Events(entries []*Entry) []store.Event {
	list := make([]store.Event, len(entries))
	for i, e := range entries {
		list[i] = e.Event()
	}
	return list
}

// Topic counts the records of a topic that the sink has.
type Topic struct {
	Name    string
	waiting int // guarded by the Set
}

// Lane counts the records that the sink has of one part of a topic, for example a partition. The Set that has
// the entries guards the counts.
type Lane struct {
	Topic   *Topic
	waiting int
	bytes   int64
	moved   bool // some were acknowledged since the last call of Progress
}

func (l *Lane) add(records int, bytes int64) {
	if l != nil {
		l.waiting, l.bytes, l.Topic.waiting = l.waiting+records, l.bytes+bytes, l.Topic.waiting+records
		l.moved = l.moved || records < 0
	}
}
