package inflight

import (
	"cmp"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
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

// TakeDelivered gives the deleter at most limit delivered entries, in ascending order: all of them, or only
// the long runs. They stay in the set.
func (s *Set) TakeDelivered(all bool, limit int) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.delivered) == 0 || !all && len(s.delivered) < s.nextTake {
		return nil
	}
	if !s.sorted {
		slices.SortFunc(s.delivered, func(a, b *Entry) int { return cmp.Compare(a.ID, b.ID) })
		s.sorted = true
	}
	if all {
		n := Fitting(len(s.delivered), limit, func(i int) int64 { return s.delivered[i].Size })
		taken := s.delivered[:n:n]
		s.delivered, s.nextTake = s.delivered[n:], 0
		return taken
	}
	return s.takeRuns(limit)
}

func (s *Set) takeRuns(limit int) []*Entry {
	var taken, rest []*Entry
	bytes := int64(0)
	for start := 0; start < len(s.delivered); {
		end := runEnd(s.delivered, start)
		if end-start >= MinRun && len(taken) < limit && bytes < maxDeleteBytes {
			end = start + Fitting(end-start, limit-len(taken), func(i int) int64 { return s.delivered[start+i].Size })
			taken = append(taken, s.delivered[start:end]...)
			for _, e := range s.delivered[start:end] {
				bytes += e.Size
			}
		} else {
			rest = append(rest, s.delivered[start:end]...)
		}
		start = end
	}
	s.nextTake = len(rest) + MinRun
	if len(taken) > 0 {
		s.delivered = rest
	}
	return taken
}

// PutBack returns entries to the set that the deleter took and could not delete.
func (s *Set) PutBack(taken []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered = append(taken, s.delivered...)
	s.sorted = false
}

// Deleted removes entries whose delete has committed. It does so at once, or when the running read has
// returned.
func (s *Set) Deleted(gone []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open.deleted(gone)
	for _, e := range gone {
		delete(s.locked, e.key())
		if e.Seq > 0 {
			s.replayed--
		}
	}
	if s.reading {
		s.deletedDuringRead = append(s.deletedDuringRead, gone...)
	} else {
		for _, e := range gone {
			delete(s.byKey, e.key())
		}
	}
	pacing.Signal(s.Changed)
}

// Undeleted counts the delivered entries whose delete has not committed. It does not count locked ones,
// because their delete is not expected to succeed soon.
func (s *Set) Undeleted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey) - len(s.deletedDuringRead) - s.waiting - len(s.failed) - s.replayed - len(s.locked)
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
