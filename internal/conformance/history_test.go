package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// history makes three keys with four versions each, as a partition shows them.
func history() []Event {
	var events []Event
	for version := range int64(4) {
		for key := range 3 {
			events = append(events, Event{Key: fmt.Sprint("key", key), Version: version + 1, ID: uuid.New()})
		}
	}
	return events
}

func TestTheCheckerFindsEachFault(t *testing.T) {
	committed := history()
	for _, test := range []struct {
		name   string
		damage func(arrived []Event) []Event
		want   Report
	}{
		{"nothing", func(a []Event) []Event { return a }, Report{}},
		{"one loss", func(a []Event) []Event { return slices.Delete(a, 4, 5) }, Report{Lost: committed[4:5]}},
		{"the last one lost", func(a []Event) []Event { return a[:len(a)-1] }, Report{Lost: committed[11:12]}},
		{"everything lost", func([]Event) []Event { return nil }, Report{Lost: committed}},
		{"one duplicate at once", func(a []Event) []Event { return slices.Insert(a, 5, a[4]) }, Report{Duplicated: committed[4:5]}},
		{"one duplicate behind later versions", func(a []Event) []Event { return append(a, a[4]) }, Report{Duplicated: committed[4:5]}},
		{"one swap within a key", func(a []Event) []Event { a[3], a[6] = a[6], a[3]; return a }, Report{Disordered: committed[3:4]}},
		{"one swap between keys", func(a []Event) []Event { a[3], a[4] = a[4], a[3]; return a }, Report{}},
		{"one that came last", func(a []Event) []Event { return append(slices.Clone(a[1:]), a[0]) }, Report{Disordered: committed[0:1]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, Check(committed, test.damage(slices.Clone(committed))))
		})
	}
}

func TestTheCheckerFindsWhatWasNotCommitted(t *testing.T) {
	committed := history()
	// Rolled back, and its version committed by another transaction: the same key and
	// version under another id.
	rolledBack := committed[4]
	rolledBack.ID = uuid.New()
	report := Check(committed, slices.Insert(slices.Clone(committed), 4, rolledBack))
	require.Equal(t, Report{Uncommitted: []Event{rolledBack}}, report)
	require.Contains(t, report.String(), "lost 0, uncommitted 1 [key1 v2")
}
