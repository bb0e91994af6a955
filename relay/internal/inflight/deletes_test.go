package inflight

import (
	"cmp"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Hazard range-delete.
// A delete names each delivered row once, and its runs contain only delivered rows.
func TestADeletionNamesTheDeliveredRowsAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delivered := make(map[int64]uuid.UUID)
		var list []*Entry
		id := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "stretches") {
			id += rapid.Int64Range(1, 3).Draw(t, "hole")
			for range rapid.IntRange(1, 2*MinRun).Draw(t, "length") {
				id++
				delivered[id] = uuid.New()
				list = append(list, &Entry{ID: id, EventID: delivered[id]})
			}
		}
		slices.SortFunc(list, func(a, b *Entry) int { return cmp.Compare(a.ID, b.ID) })
		d := Plan(list)
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
		// The loops stop at the first difference, because thousands of calls of require for each draw took a
		// minute.
		require.Len(t, named, len(delivered))
		for id, n := range named {
			if _, ok := delivered[id]; !ok || n != 1 {
				require.Failf(t, "a row that is not to be deleted once", "row %d: delivered %v, named %d times", id, ok,
					n)
			}
		}
	})
}

// The rows have 8 MiB. Everything that is deleted or archived at once, within the time of one answer, is
// bounded in bytes as well as in rows. That applies to runs of ids and to the rest of them.
func TestADeleteIsBoundedByRowsAndBytes(t *testing.T) {
	s := New()
	entries := make([]Entry, 4*MinRun)
	for i := range entries {
		entries[i] = Entry{ID: int64(i + 1), Size: 8 << 20}
	}
	s.Add(entries)
	for i := range entries {
		require.True(t, s.Ack(&entries[i], nil))
	}
	for _, all := range []bool{false, true, true} {
		taken := s.TakeDelivered(all, MaxDelete)
		require.Len(t, taken, maxDeleteBytes>>23)
	}
	require.Equal(t, int64(3*maxDeleteBytes>>23+1), s.TakeDelivered(true, 1)[0].ID)
	require.Equal(t, 1, Fitting(5, 5, func(int) int64 { return 2 * maxDeleteBytes }), "one that is larger goes alone")
	require.Equal(t, 5, Fitting(9, 5, func(int) int64 { return 1 }))
}
