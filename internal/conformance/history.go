package conformance

import (
	"fmt"

	"github.com/google/uuid"
)

// Event is one version of one key: what a writer committed, or a consumer received.
type Event struct {
	Key     string
	Version int64
	ID      uuid.UUID
}

func (e Event) String() string { return fmt.Sprintf("%s v%d (%s)", e.Key, e.Version, e.ID) }

// Report is what Check found, event by event.
type Report struct {
	Lost        []Event // committed, and did not arrive
	Uncommitted []Event // arrived, and was not committed
	Duplicated  []Event // arrived again: each further copy
	Disordered  []Event // its first copy arrived behind that of a later version of its key
}

// Check compares a history with what arrived of it. The order of arrived matters, for
// each key by itself: its events must lie in it as the consumer of a partition sees
// them. The order of committed does not matter.
//
// An event that arrived is judged by its ID: a version that was rolled back and that
// another transaction committed later are two events.
func Check(committed, arrived []Event) Report {
	var r Report
	known := make(map[uuid.UUID]bool, len(committed))
	for _, e := range committed {
		known[e.ID] = true
	}
	seen := make(map[uuid.UUID]bool, len(arrived))
	latest := make(map[string]int64)
	for _, e := range arrived {
		switch {
		case !known[e.ID]:
			r.Uncommitted = append(r.Uncommitted, e)
			continue
		case seen[e.ID]:
			r.Duplicated = append(r.Duplicated, e)
			continue
		}
		seen[e.ID] = true
		if e.Version <= latest[e.Key] {
			r.Disordered = append(r.Disordered, e)
		}
		latest[e.Key] = max(latest[e.Key], e.Version)
	}
	for _, e := range committed {
		if !seen[e.ID] {
			r.Lost = append(r.Lost, e)
		}
	}
	return r
}

// String sums the report up, with the first few events of each kind.
func (r Report) String() string {
	return fmt.Sprintf("lost %s, uncommitted %s, duplicated %s, disordered %s",
		some(r.Lost), some(r.Uncommitted), some(r.Duplicated), some(r.Disordered))
}

func some(events []Event) string {
	if len(events) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d %v", len(events), events[:min(3, len(events))])
}
