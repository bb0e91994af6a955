package relay

import (
	"cmp"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Hazard range-delete.
// A delete names each delivered row once, and its runs hold nothing but delivered rows.
func TestADeletionNamesTheDeliveredRowsAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delivered := make(map[int64]uuid.UUID)
		var list []*flight
		id := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "stretches") {
			id += rapid.Int64Range(1, 3).Draw(t, "hole")
			for range rapid.IntRange(1, 2*minRun).Draw(t, "length") {
				id++
				delivered[id] = uuid.New()
				list = append(list, &flight{id: id, eventID: delivered[id]})
			}
		}
		slices.SortFunc(list, func(a, b *flight) int { return cmp.Compare(a.id, b.id) })
		d := plan(list)
		named := make(map[int64]int)
		for _, r := range d.Runs {
			require.Equal(t, delivered[r.Last.ID], r.Last.EventID)
			for id := r.Lo; id <= r.Last.ID; id++ {
				named[id]++
			}
		}
		for _, e := range d.Events {
			if delivered[e.ID] != e.EventID {
				require.Equal(t, delivered[e.ID], e.EventID)
			}
			named[e.ID]++
		}
		// The loops end with the first difference: thousands of calls of require for each
		// draw took a minute.
		require.Len(t, named, len(delivered))
		for id, n := range named {
			if _, ok := delivered[id]; !ok || n != 1 {
				require.Failf(t, "a row that is not to be deleted once", "row %d: delivered %v, named %d times", id, ok,
					n)
			}
		}
	})
}
