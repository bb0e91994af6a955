package relay

import (
	"cmp"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/postroom/postroom/internal/dialect"
)

// The set must name exactly the ids below the head that were not seen, no fewer ever,
// and more only where gaps were merged.
func TestTheGapsAreTheIDsBelowTheHeadThatWereNotSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := gapSet{max: rapid.IntRange(1, 12).Draw(t, "max")}
		head, seen := int64(0), map[int64]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "reads") {
			newHead := head + rapid.Int64Range(0, 15).Draw(t, "advance")
			var ids []int64
			for id := int64(1); id <= newHead; id++ {
				asked := id > head || s.covers(id)
				last := id == newHead && newHead > head // a head is a row that was seen
				if asked && !seen[id] && (last || rapid.Bool().Draw(t, "visible")) {
					ids = append(ids, id)
				}
			}
			s.advance(head, newHead, ids, nil)
			head = newHead
			for _, id := range ids {
				seen[id] = true
			}
			s.merge()
			s.check(t, head, seen)
		}
	})
}

func (s *gapSet) covers(id int64) bool {
	return slices.ContainsFunc(s.gaps, func(g gap) bool { return g.Lo <= id && id <= g.Hi })
}

func (s *gapSet) check(t *rapid.T, head int64, seen map[int64]bool) {
	require.LessOrEqual(t, len(s.gaps), s.max)
	end := int64(0)
	for _, g := range s.gaps {
		require.Greater(t, g.Lo, end, "gaps ascend and are disjoint: %v", s.ranges())
		require.LessOrEqual(t, g.Lo, g.Hi)
		require.LessOrEqual(t, g.Hi, head)
		end = g.Hi
	}
	for id := int64(1); id <= head; id++ {
		if !seen[id] {
			require.True(t, s.covers(id), "id %d was not seen and is not asked for: %v", id, s.ranges())
		}
	}
	for _, g := range s.gaps {
		for id := g.Lo; id <= g.Hi && !g.coarse; id++ {
			require.False(t, seen[id], "id %d was seen and is still asked for: %v", id, s.ranges())
		}
	}
}

func look(ids ...string) dialect.Writers {
	w := dialect.Writers{Known: true}
	for _, id := range ids {
		next := ""
		if id[0] == 's' { // a session, whose transaction may be prepared
			next = "prepared:"
		}
		w.Open = append(w.Open, dialect.Writer{ID: id, Next: next})
	}
	return w
}

func TestAGapIsProvedDeadWhenTheWritersOfItsFirstLookAreGone(t *testing.T) {
	for _, each := range []struct {
		name   string
		looks  []dialect.Writers
		proven bool
	}{
		{"nobody was writing", []dialect.Writers{look()}, true},
		{"its writer is still open", []dialect.Writers{look("s1"), look("s1")}, false},
		{"its writer is gone, others came", []dialect.Writers{look("s1"), look("s2")}, true},
		{"one of two is still open", []dialect.Writers{look("s1", "s2"), look("s2", "s3")}, false},
		{"its writer was prepared", []dialect.Writers{look("s1"), look("s1b", "prepared:7")}, false},
		{"its writer was prepared, and committed", []dialect.Writers{look("s1"), look("prepared:7"), look("s1")}, true},
		{"a prepared one was there from the start", []dialect.Writers{look("prepared:7"), look("prepared:7")}, false},
		{"the database does not tell", []dialect.Writers{{}, {}}, false},
	} {
		t.Run(each.name, func(t *testing.T) {
			s := gapSet{max: 10}
			s.advance(0, 3, []int64{1, 3}, nil)
			for _, w := range each.looks {
				s.observe(w)
			}
			require.Equal(t, each.proven, s.proven()[2])
		})
	}
}

func TestAMergedGapWaitsForTheWritersOfBoth(t *testing.T) {
	s := gapSet{max: 1}
	s.advance(0, 3, []int64{1, 3}, nil)
	s.observe(look("s1"))
	s.advance(3, 5, []int64{5}, nil)
	s.observe(look("s1", "s2"))
	s.merge()
	require.Equal(t, []dialect.Range{{Lo: 2, Hi: 4}}, s.ranges())
	s.observe(look("s2"))
	require.Empty(t, s.proven())
	s.observe(look("s3"))
	require.True(t, s.proven()[2])
	s.advance(5, 5, nil, s.proven())
	require.Empty(t, s.gaps)
}

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
				require.Failf(t, "a row that is not to be deleted once", "row %d: delivered %v, named %d times", id, ok, n)
			}
		}
	})
}
