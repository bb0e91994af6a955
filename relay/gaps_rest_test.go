package relay

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// asking keeps the gaps that the last read asked for, and counts the looks that told.
type asking struct {
	store
	mu    sync.Mutex
	gaps  []dialect.Range
	looks int
}

func (a *asking) Writers(ctx context.Context) (dialect.Writers, error) {
	w, err := a.store.Writers(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.Known {
		a.looks++
	}
	return w, err
}

func (a *asking) looked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.looks
}

func (a *asking) Read(ctx context.Context, q dialect.ReadQuery, visit func(*dialect.Row) bool) (dialect.ReadInfo, error) {
	a.mu.Lock()
	a.gaps = q.Gaps
	a.mu.Unlock()
	return a.store.Read(ctx, q, visit)
}

// ids counts the ids of the gaps.
func (a *asking) ids() (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.gaps {
		n += g.Hi - g.Lo + 1
	}
	return n
}

func (b *bench) burn(n int) {
	b.t.Helper()
	for range n {
		tx := b.begin()
		b.add(tx, "other", "burnt")
		require.NoError(b.t, tx.Rollback())
	}
}

// A writer takes an id and is forgotten, its transaction open. Others commit and roll
// back. Each id that was burnt is a gap, and the forgotten writer was open when it was
// first seen; but it has done nothing since before the id was given out. So its own id
// remains, and no more: in time, gaps would be merged over all that was deleted since,
// and every read would step over it. It commits at last, and comes before a later event
// of its key.
func TestAForgottenWriterKeepsItsOwnGapAlone(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.maxGaps = 8
		ask := &asking{}
		b.naive = func(s store) store { ask.store = s; return ask }
		stop := b.start()
		forgotten := b.begin()
		b.add(forgotten, "k", "k1")
		b.commit("other", "o")
		eventually(t, "its id is asked for, and it was seen at rest", func() bool { return ask.ids() == 1 && ask.looked() >= 2 })
		sent := 1
		for range 20 {
			b.burn(1)
			b.commit("other", "o")
			sent++
			eventually(t, "the event is delivered", func() bool { return b.sink.count() == sent })
		}
		require.Eventually(t, func() bool { return ask.ids() == 1 }, 2*time.Minute, time.Millisecond,
			"ids that the forgotten writer cannot have are still asked for") // MariaDB's looks tell of the whole server's transactions
		require.NoError(t, forgotten.Commit())
		b.commit("k", "k2")
		eventually(t, "all are delivered", func() bool { return b.sink.count() == sent+2 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// The forgotten writer wakes: it takes an id after it was seen at rest, and rests again
// until the id's gap was looked at. It may fill the gap: at the look it had executed
// something since the id was given out.
func TestAWriterThatWakesKeepsTheGapThatItMadeThen(t *testing.T) {
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.cfg.sweepEvery = time.Hour
		count := &counting{}
		b.naive = func(s store) store {
			if naive {
				s = alwaysAtRest{s}
			}
			count.store = s
			return count
		}
		writer := b.begin()
		b.add(writer, "unrelated", "u")
		stop := b.start()
		b.commit("other", "o1")
		eventually(t, "the first is delivered", func() bool { return b.sink.count() == 1 })
		count.waitForMore(t, 3, 3) // it was seen at rest
		b.add(writer, "k", "k1")
		b.commit("other", "o2")
		eventually(t, "the second is delivered", func() bool { return b.sink.count() == 2 })
		count.waitForMore(t, 10, 3) // its gap was looked at, and read after that
		count.still.Lock()
		require.NoError(t, writer.Commit())
		b.commit("k", "k2")
		count.still.Unlock()
		eventually(t, "k2 is delivered", func() bool { return contains(b.sink.values(), "k2") })
		require.NoError(t, stop())
		return b.sink.values()
	}
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		values := scenario(t, db, false)
		require.True(t, contains(values, "k1") && inOrder(values, "k"), "%v", values)
	})
	t.Run("without the rule", func(t *testing.T) {
		values := scenario(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)), true)
		require.False(t, contains(values, "k1") && inOrder(values, "k"), "the scenario does not catch the naive way")
	})
}

// alwaysAtRest takes every open writer for one that has done nothing since it began.
type alwaysAtRest struct{ store }

func (s alwaysAtRest) Writers(ctx context.Context) (dialect.Writers, error) {
	w, err := s.store.Writers(ctx)
	for i := range w.Open {
		w.Open[i].Rest = "at rest"
	}
	return w, err
}

func TestAGapDoesNotWaitForAWriterThatWasAtRestBefore(t *testing.T) {
	at := func(rest string, given int64) dialect.Writers {
		return dialect.Writers{Known: true, Given: given, Open: []dialect.Writer{{ID: "s1", Next: "prepared:", Rest: rest}}}
	}
	for _, each := range []struct {
		name   string
		before []dialect.Writers // looks before gap 8 is seen
		look   dialect.Writers   // the first after it
		proven bool
	}{
		{"at rest since before", []dialect.Writers{at("a", 6)}, at("a", 9), true},
		{"at rest for longer", []dialect.Writers{at("a", 6), at("a", 7), at("a", 8)}, at("a", 9), true},
		{"its id was given out before the look", []dialect.Writers{at("a", 8)}, at("a", 9), false},
		{"it woke and rests again", []dialect.Writers{at("a", 6)}, at("b", 9), false},
		{"it is awake", []dialect.Writers{at("a", 6)}, at("", 9), false},
		{"it was awake", []dialect.Writers{at("", 6)}, at("a", 9), false},
		{"it was awake in between", []dialect.Writers{at("a", 6), at("", 7), at("a", 7)}, at("a", 9), true},
		{"nobody tells what was given out", []dialect.Writers{at("a", 0)}, at("a", 0), false},
		{"it is new", nil, at("a", 9), false},
	} {
		t.Run(each.name, func(t *testing.T) {
			s := gapSet{max: 10}
			s.advance(0, 3, []int64{1, 3}, nil)
			for _, w := range each.before {
				s.observe(w)
			}
			s.advance(3, 9, []int64{4, 5, 6, 7, 9}, nil)
			s.observe(each.look)
			require.Equal(t, each.proven, s.proven()[8])
		})
	}
}

// Many ids were burnt between two looks: gaps are merged, but not with that of the
// forgotten writer, which would take them all under its proof.
func TestMergingLeavesTheForgottenWritersGapAlone(t *testing.T) {
	at := func(given int64) dialect.Writers {
		return dialect.Writers{Known: true, Given: given, Open: []dialect.Writer{{ID: "s1", Rest: "a"}}}
	}
	s := gapSet{max: 4}
	s.advance(0, 2, []int64{2}, nil)
	s.observe(at(2))
	head := int64(2)
	for range 10 {
		s.advance(head, head+10, []int64{head + 2, head + 4, head + 6, head + 8, head + 10}, nil)
		head += 10
		s.merge()
		require.LessOrEqual(t, len(s.gaps), 4)
		s.observe(at(head))
		s.advance(head, head, nil, s.proven())
	}
	require.Equal(t, []dialect.Range{{Lo: 1, Hi: 1}}, s.ranges())
}
