package relay

import (
	"cmp"
	"maps"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// takeDelivered hands at most limit delivered records to the deleter, in ascending
// order: the long runs, or all of them. They stay in the set.
func (f *inFlightSet) takeDelivered(all bool, limit int) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.delivered) == 0 || !all && len(f.delivered) < f.nextTake {
		return nil
	}
	if !f.sorted {
		slices.SortFunc(f.delivered, func(a, b *flight) int { return cmp.Compare(a.id, b.id) })
		f.sorted = true
	}
	if all {
		n := deletable(len(f.delivered), limit, func(i int) int64 { return f.delivered[i].size })
		taken := f.delivered[:n:n]
		f.delivered, f.nextTake = f.delivered[n:], 0
		return taken
	}
	var taken, rest []*flight
	bytes := int64(0)
	for start := 0; start < len(f.delivered); {
		end := runEnd(f.delivered, start)
		if end-start >= minRun && len(taken) < limit && bytes < maxDeleteBytes {
			end = start + deletable(end-start, limit-len(taken), func(i int) int64 { return f.delivered[start+i].size })
			taken = append(taken, f.delivered[start:end]...)
			for _, fl := range f.delivered[start:end] {
				bytes += fl.size
			}
		} else {
			rest = append(rest, f.delivered[start:end]...)
		}
		start = end
	}
	f.nextTake = len(rest) + minRun
	if len(taken) > 0 {
		f.delivered = rest
	}
	return taken
}

// runEnd returns where the run of consecutive ids that begins at start ends.
func runEnd(sorted []*flight, start int) int {
	end := start + 1
	for end < len(sorted) && sorted[end].id == sorted[end-1].id+1 {
		end++
	}
	return end
}

// putBack returns to the set what the deleter took and could not delete.
func (f *inFlightSet) putBack(taken []*flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delivered = append(taken, f.delivered...)
	f.sorted = false
}

// deleted removes records whose delete has committed, at once or when the read that
// is running has returned.
func (f *inFlightSet) deleted(gone []*flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open.deleted(gone)
	for _, fl := range gone {
		delete(f.locked, fl.id)
		if fl.id < 0 {
			f.replayed--
		}
	}
	if f.reading {
		f.deletedDuringRead = append(f.deletedDuringRead, gone...)
	} else {
		for _, fl := range gone {
			delete(f.byID, fl.id)
		}
	}
	signal(f.changed)
}

// undeleted counts the delivered records whose delete has not committed and is to be
// expected: none that was set aside.
func (f *inFlightSet) undeleted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID) - len(f.deletedDuringRead) - f.waiting - len(f.failed) - f.replayed - len(f.locked)
}

// deliveredOf returns the flights of those records that were delivered.
func (f *inFlightSet) deliveredOf(records []*Record) []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	var delivered []*flight
	for _, r := range records {
		if fl := r.flight; fl != nil && fl.acked && !fl.failed {
			delivered = append(delivered, fl)
		}
	}
	return delivered
}

// leftover lists delivered records whose delete is not known to have committed.
func (f *inFlightSet) leftover() []store.Delivered {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(places(f.delivered), places(slices.Collect(maps.Values(f.locked)))...)
}

// list copies the set's rows of outbox_events, ascending.
func (f *inFlightSet) list() []store.Event {
	f.mu.Lock()
	rows := make([]store.Event, 0, len(f.byID))
	for id, fl := range f.byID {
		if id > 0 {
			rows = append(rows, fl.event())
		}
	}
	f.mu.Unlock()
	slices.SortFunc(rows, func(a, b store.Event) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// addLocked reports whether these are the first.
func (f *inFlightSet) addLocked(rows []*flight) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = len(f.locked) == 0
	for _, fl := range rows {
		f.locked[fl.id] = fl
	}
	return first
}

func (f *inFlightSet) lockedRows() []*flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := make([]*flight, 0, len(f.locked))
	for _, fl := range f.locked {
		rows = append(rows, fl)
	}
	slices.SortFunc(rows, func(a, b *flight) int { return int(a.id - b.id) })
	return rows
}

func (fl *flight) event() store.Event { return store.Event{ID: fl.id, EventID: fl.eventID} }

func (fl *flight) place() store.Delivered {
	return store.Delivered{Event: fl.event(), Size: fl.size, Partition: fl.partition, Offset: fl.offset,
		Placed: fl.placed}
}

func (fl *flight) parkedPlace() store.DeliveredParked {
	return store.DeliveredParked{
		ParkedEvent: store.ParkedEvent{Seq: -fl.id, EventID: fl.eventID}, Size: fl.size,
		Partition: fl.partition, Offset: fl.offset, Placed: fl.placed,
	}
}
