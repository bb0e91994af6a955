package gaps

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	store "github.com/postroom/postroom/internal/store/relay"
)

// The set must contain exactly the ids below the head that were not seen. It may contain more only where gaps
// were merged, and never fewer.
func TestTheGapsAreTheIDsBelowTheHeadThatWereNotSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Set{max: rapid.IntRange(1, 12).Draw(t, "max")}
		head, seen := int64(0), map[int64]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "reads") {
			newHead := head + rapid.Int64Range(0, 15).Draw(t, "advance")
			var ids []int64
			for id := int64(1); id <= newHead; id++ {
				asked := id > head || s.covers(id)
				last := id == newHead && newHead > head // the head is a row that was seen
				if asked && !seen[id] && (last || rapid.Bool().Draw(t, "visible")) {
					ids = append(ids, id)
				}
			}
			s.Advance(head, newHead, ids, nil)
			head = newHead
			for _, id := range ids {
				seen[id] = true
			}
			s.Merge()
			s.check(t, head, seen)
		}
	})
}

func (s *Set) covers(id int64) bool {
	return slices.ContainsFunc(s.gaps, func(g gap) bool { return g.Lo <= id && id <= g.Hi })
}

func (s *Set) check(t *rapid.T, head int64, seen map[int64]bool) {
	require.LessOrEqual(t, len(s.gaps), s.max)
	end := int64(0)
	for _, g := range s.gaps {
		require.Greater(t, g.Lo, end, "gaps ascend and are disjoint: %v", s.Ranges())
		require.LessOrEqual(t, g.Lo, g.Hi)
		require.LessOrEqual(t, g.Hi, head)
		end = g.Hi
	}
	for id := int64(1); id <= head; id++ {
		if !seen[id] {
			require.True(t, s.covers(id), "id %d was not seen and is not asked for: %v", id, s.Ranges())
		}
	}
	for _, g := range s.gaps {
		for id := g.Lo; id <= g.Hi && !g.coarse; id++ {
			require.False(t, seen[id], "id %d was seen and is still asked for: %v", id, s.Ranges())
		}
	}
}

func look(ids ...string) store.Writers {
	w := store.Writers{Known: true}
	for _, id := range ids {
		next := ""
		if id[0] == 's' { // a session whose transaction may be prepared
			next = "prepared:"
		}
		w.Open = append(w.Open, store.Writer{ID: id, Next: next})
	}
	return w
}

func TestAGapIsProvedDeadWhenTheWritersOfItsFirstLookAreGone(t *testing.T) {
	for _, each := range []struct {
		name   string
		looks  []store.Writers
		proven bool
	}{
		{"nobody was writing", []store.Writers{look()}, true},
		{"its writer is still open", []store.Writers{look("s1"), look("s1")}, false},
		{"its writer is gone, others came", []store.Writers{look("s1"), look("s2")}, true},
		{"one of two is still open", []store.Writers{look("s1", "s2"), look("s2", "s3")}, false},
		{"its writer was prepared", []store.Writers{look("s1"), look("s1b", "prepared:7")}, false},
		{"its writer was prepared, and committed", []store.Writers{look("s1"), look("prepared:7"), look("s1")}, true},
		{"a prepared one was there from the start", []store.Writers{look("prepared:7"), look("prepared:7")}, false},
		{"the database does not tell", []store.Writers{{}, {}}, false},
	} {
		t.Run(each.name, func(t *testing.T) {
			s := Set{max: 10}
			s.Advance(0, 3, []int64{1, 3}, nil)
			for _, w := range each.looks {
				s.Observe(w)
			}
			require.Equal(t, each.proven, s.Proven()[2])
		})
	}
}

func TestAMergedGapWaitsForTheWritersOfBoth(t *testing.T) {
	s := Set{max: 1}
	s.Advance(0, 3, []int64{1, 3}, nil)
	s.Observe(look("s1"))
	s.Advance(3, 5, []int64{5}, nil)
	s.Observe(look("s1", "s2"))
	s.Merge()
	require.Equal(t, []store.Range{{Lo: 2, Hi: 4}}, s.Ranges())
	s.Observe(look("s2"))
	require.Empty(t, s.Proven())
	s.Observe(look("s3"))
	require.True(t, s.Proven()[2])
	s.Advance(5, 5, nil, s.Proven())
	require.Empty(t, s.gaps)
}

// The writers W (number 7) and S (number 8) are open at the first probe. S ends. Its rows must be seen, so
// the next read looks into the gap, even if only W is left by then. Until the end of S is known, the read's
// own snapshot shows it. After that read the gap is asleep.
func TestAGapIsLookedAtOnceMoreWhenOneOfItsWritersHasEnded(t *testing.T) {
	at := func(numbers ...uint64) store.Writers {
		w := store.Writers{Known: true}
		for _, n := range numbers {
			w.Open = append(w.Open, store.Writer{ID: string(rune('a' + n)), Number: n})
		}
		return w
	}
	s := Set{max: 10}
	s.Advance(0, 5, []int64{5}, nil)
	require.Nil(t, s.Asleep(), "nobody has looked at the writers")
	s.Observe(at(7, 8))
	require.Nil(t, s.Asleep(), "one that ended between the read and the look has to be seen")
	s.NoteRead()
	require.Len(t, s.Asleep(), 1)
	require.ElementsMatch(t, []uint64{7, 8}, s.Asleep()[0])
	s.Observe(at(7))
	require.Nil(t, s.Asleep())
	s.Observe(at(7))
	require.Nil(t, s.Asleep(), "no read has come since")
	s.NoteRead()
	require.Equal(t, [][]uint64{{7}}, s.Asleep())
	s.Advance(5, 9, []int64{9}, nil)
	require.Nil(t, s.Asleep()[1], "the new one is awake")
	s.max = 1
	s.Merge()
	require.Nil(t, s.Asleep(), "merged with one that is awake")
	s.Observe(at(7, 9))
	s.NoteRead()
	require.Len(t, s.Asleep(), 1)
	s.Observe(store.Writers{Known: true,
		Open: []store.Writer{{ID: string(rune('a' + 7))}, {ID: string(rune('a' + 9)), Number: 9}}})
	require.Nil(t, s.Asleep(), "the number of one is not known")
	s.Observe(at())
	require.Nil(t, s.Asleep())
	require.True(t, s.Proven()[1])
}

func TestAGapDoesNotWaitForAWriterThatWasAtRestBefore(t *testing.T) {
	at := func(rest string, given int64) store.Writers {
		return store.Writers{Known: true, Given: given,
			Open: []store.Writer{{ID: "s1", Next: "prepared:", Rest: rest}}}
	}
	for _, each := range []struct {
		name   string
		before []store.Writers // probes before gap 8 is seen
		look   store.Writers   // the first probe after that
		proven bool
	}{
		{"at rest since before", []store.Writers{at("a", 6)}, at("a", 9), true},
		{"at rest for longer", []store.Writers{at("a", 6), at("a", 7), at("a", 8)}, at("a", 9), true},
		{"its id was given out before the look", []store.Writers{at("a", 8)}, at("a", 9), false},
		{"it woke and rests again", []store.Writers{at("a", 6)}, at("b", 9), false},
		{"it is awake", []store.Writers{at("a", 6)}, at("", 9), false},
		{"it was awake", []store.Writers{at("", 6)}, at("a", 9), false},
		{"it was awake in between", []store.Writers{at("a", 6), at("", 7), at("a", 7)}, at("a", 9), true},
		{"nobody tells what was given out", []store.Writers{at("a", 0)}, at("a", 0), false},
		{"it is new", nil, at("a", 9), false},
	} {
		t.Run(each.name, func(t *testing.T) {
			s := Set{max: 10}
			s.Advance(0, 3, []int64{1, 3}, nil)
			for _, w := range each.before {
				s.Observe(w)
			}
			s.Advance(3, 9, []int64{4, 5, 6, 7, 9}, nil)
			s.Observe(each.look)
			require.Equal(t, each.proven, s.Proven()[8])
		})
	}
}

// Many ids were burnt between two probes. Gaps are merged, but not with the forgotten writer's gap. Otherwise
// all of them would get its proof.
func TestMergingLeavesTheForgottenWritersGapAlone(t *testing.T) {
	at := func(given int64) store.Writers {
		return store.Writers{Known: true, Given: given, Open: []store.Writer{{ID: "s1", Rest: "a"}}}
	}
	s := Set{max: 4}
	s.Advance(0, 2, []int64{2}, nil)
	s.Observe(at(2))
	head := int64(2)
	for range 10 {
		s.Advance(head, head+10, []int64{head + 2, head + 4, head + 6, head + 8, head + 10}, nil)
		head += 10
		s.Merge()
		require.LessOrEqual(t, len(s.gaps), 4)
		s.Observe(at(head))
		s.Advance(head, head, nil, s.Proven())
	}
	require.Equal(t, []store.Range{{Lo: 1, Hi: 1}}, s.Ranges())
}
