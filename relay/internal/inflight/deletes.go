package inflight

import (
	"cmp"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// MinRun is the length from which a run of consecutive ids is deleted as a range. A range needs a statement
// of its own. Shorter runs and single ids share one statement.
const MinRun = 500

// MaxDelete and maxDeleteBytes bound the rows of one delete. So a lock or a lost connection costs little, the
// rows of a long outage are not deleted in one transaction, and large rows are deleted, or moved to the
// archive, well within the time of one answer.
const (
	MaxDelete      = 20000
	maxDeleteBytes = 128 << 20
)

// Fitting returns how many of n rows one delete takes: at most limit, as many as fit into maxDeleteBytes, and
// at least 1.
func Fitting(n, limit int, size func(i int) int64) int {
	n = min(n, limit)
	bytes := int64(0)
	for i := range n {
		if bytes += size(i); i > 0 && bytes > maxDeleteBytes {
			return i
		}
	}
	return n
}

// Plan says how to delete delivered entries, which ascend. A run has only consecutive, delivered ids. A
// commit may fill an id that was not delivered at any time, and a range over that id would delete the event
// unsent (hazard range-delete).
func Plan(delivered []*Entry) store.Deletion {
	var d store.Deletion
	for start := 0; start < len(delivered); {
		end := runEnd(delivered, start)
		if end-start >= MinRun {
			d.Runs = append(d.Runs, store.Run{Lo: delivered[start].ID, Last: delivered[end-1].Event()})
		} else {
			d.Events = append(d.Events, Events(delivered[start:end])...)
		}
		start = end
	}
	return d
}

// runEnd returns the end of the run of consecutive ids that begins at start.
func runEnd(sorted []*Entry, start int) int {
	end := start + 1
	for end < len(sorted) && sorted[end].ID == sorted[end-1].ID+1 {
		end++
	}
	return end
}

// SetLocked sets entries aside that another transaction has locked. They stay in the set. It reports whether
// they are the first such entries.
func (s *Set) SetLocked(entries []*Entry) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = len(s.locked) == 0
	for _, e := range entries {
		s.locked[e.key()] = e
	}
	return first
}

// Locked returns the entries that were set aside, in the order of their ids.
func (s *Set) Locked() []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]*Entry, 0, len(s.locked))
	for _, e := range s.locked {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *Entry) int { return cmp.Compare(a.ID, b.ID) })
	return entries
}

// Adopt adds rows that an earlier session has delivered and could not delete, as locked rows. It returns how
// many of them were new to the set.
func (s *Set) Adopt(rows []store.Delivered) (fresh int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		if s.locked[row.ID] != nil {
			continue
		}
		fresh++
		e := &Entry{
			ID: row.ID, EventID: row.EventID, Size: row.Size, acked: true, Transaction: earlierTransaction,
			Placed: row.Placed, Partition: row.Partition, Offset: row.Offset,
		}
		s.byKey[e.ID], s.locked[e.ID] = e, e
		s.open.sent(e)
		s.highest = max(s.highest, e.ID)
	}
	return fresh
}
