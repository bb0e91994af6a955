package inflight

import (
	"cmp"
	"maps"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// This file has what the session, the reader and the deleter ask of a set.

// Counts returns how many records are in flight, how many of them the sink has not
// acknowledged, and the bytes of those.
func (s *Set) Counts() (held, waiting int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey), s.waiting, s.bytes
}

// Undeleted counts the delivered entries whose delete has not committed. It does not count locked ones,
// because their delete is not expected to succeed soon.
func (s *Set) Undeleted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey) - len(s.deletedDuringRead) - s.waiting - len(s.failed) - s.replayed - len(s.locked)
}

// Highest returns the highest id that was ever in the set. Only Add and Adopt raise it.
func (s *Set) Highest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// DeliveredTotal returns how many records were delivered so far.
func (s *Set) DeliveredTotal() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Failures returns the records that the sink could not deliver, in the order of their
// acknowledgements.
func (s *Set) Failures() []Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// WaitingKeys returns the hashes of the keys that have unacknowledged records.
func (s *Set) WaitingKeys() map[uint64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[uint64]bool)
	for _, e := range s.byKey {
		if !e.acked && e.Hash != 0 {
			keys[e.Hash] = true
		}
	}
	return keys
}

// WaitingFor reports whether any of the entries is still unacknowledged.
func (s *Set) WaitingFor(entries []*Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(entries, func(e *Entry) bool { return !e.acked })
}

// WaitingOf counts the records of a topic that the sink has not acknowledged.
func (s *Set) WaitingOf(t *Topic) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.waiting
}

// Load returns how many records of a lane the sink has not acknowledged, and their bytes.
func (s *Set) Load(l *Lane) (waiting int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.waiting, l.bytes
}

// Progress does what Load does. It also reports whether the sink has acknowledged any of these records since
// the last Progress.
func (s *Set) Progress(l *Lane) (waiting int, bytes int64, moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved, l.moved = l.moved, false
	return l.waiting, l.bytes, moved
}

// Overtaken reports whether a later record of the failed record's key was delivered, or may have been
// delivered.
func (s *Set) Overtaken(failed *Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recent.overtaken(failed)
}

// Confirmed returns the number up to which the rows of every transaction are deleted. It is 0 for the
// transactions of earlier sessions, and -1 if rows of these are left.
func (s *Set) Confirmed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.confirmed(s.waiting == 0)
}

// DeliveredOf returns those of the entries that were delivered.
func (s *Set) DeliveredOf(entries []*Entry) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var delivered []*Entry
	for _, e := range entries {
		if e.acked && !e.failed {
			delivered = append(delivered, e)
		}
	}
	return delivered
}

// Rows copies the set's rows of outbox_events, ascending.
func (s *Set) Rows() []store.Event {
	s.mu.Lock()
	rows := make([]store.Event, 0, len(s.byKey))
	for _, e := range s.byKey {
		if e.Seq == 0 {
			rows = append(rows, e.Event())
		}
	}
	s.mu.Unlock()
	slices.SortFunc(rows, func(a, b store.Event) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// Leftover lists delivered rows whose delete is not known to have committed.
func (s *Set) Leftover() []store.Delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(Delivered(s.delivered), Delivered(slices.Collect(maps.Values(s.locked)))...)
}
