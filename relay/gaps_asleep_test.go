package relay

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// awake keeps how many ids the last read had to look for: those in gaps that are not asleep.
type awake struct {
	store
	mu    sync.Mutex
	ids   int64
	named int64 // those asleep included
	reads int
}

func (a *awake) Read(ctx context.Context, q dialect.ReadQuery, visit func(*dialect.Row) bool) (dialect.ReadInfo, error) {
	a.mu.Lock()
	a.ids, a.named, a.reads = 0, 0, a.reads+1
	for i, g := range q.Gaps {
		a.named += g.Hi - g.Lo + 1
		if len(q.Asleep) == 0 || len(q.Asleep[i]) == 0 {
			a.ids += g.Hi - g.Lo + 1
		}
	}
	a.mu.Unlock()
	return a.store.Read(ctx, q, visit)
}

func (a *awake) last() (ids, named int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids, a.named
}

// A writer is open for long and at work, while others roll back: each id that they burn may
// be its own, for all that anybody can see. In time the gaps are merged over all that was
// deleted since, and its open transaction keeps those rows. No read walks over them while it
// runs: it could not see what the writer has written. At its end its events are seen by the
// same read as those that it held up, and before a later one of its key.
func TestReadsDoNotWalkOverTheGapsOfABusyWriter(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, fresh(t)))
			b.cfg.maxGaps = 8
			reads := &awake{}
			b.naive = func(s store) store { reads.store = s; return reads }
			stop := b.start()
			busy := b.begin()
			b.add(busy, "k", "k1")
			for i := range 20 {
				b.burn(1)
				b.commit("other", numbered("o", 10)...)
				_, err := busy.Exec("SELECT 1") // it does not rest
				require.NoError(t, err)
				eventually(t, "the events are delivered", func() bool { return b.sink.count() == 10*(i+1) })
			}
			b.add(busy, "k", "k2")
			b.commit("other", "last")
			eventually(t, "merged gaps are named, and none is looked at", func() bool {
				ids, named := reads.last()
				return b.sink.count() == 201 && named > 100 && ids == 0
			})
			require.NoError(t, busy.Commit())
			b.commit("k", "k3")
			eventually(t, "all are delivered", func() bool { return b.sink.count() == 204 && b.empty() })
			require.NoError(t, stop())
			require.True(t, inOrder(b.sink.values(), "k"))
		})
	}
}

// The writers W (number 7) and S (number 8) are open at the first look. S ends: whatever it
// wrote has to be seen, so the next read looks at the gap, also when only W is left by then;
// and until S's end is known the read finds out by its snapshot. After it the gap sleeps.
func TestAGapIsLookedAtOnceMoreWhenOneOfItsWritersHasEnded(t *testing.T) {
	at := func(numbers ...uint64) dialect.Writers {
		w := dialect.Writers{Known: true}
		for _, n := range numbers {
			w.Open = append(w.Open, dialect.Writer{ID: string(rune('a' + n)), Number: n})
		}
		return w
	}
	s := gapSet{max: 10}
	s.advance(0, 5, []int64{5}, nil)
	require.Nil(t, s.asleep(), "nobody has looked at the writers")
	s.observe(at(7, 8))
	require.Nil(t, s.asleep(), "one that ended between the read and the look has to be seen")
	s.noteRead()
	require.Len(t, s.asleep(), 1)
	require.ElementsMatch(t, []uint64{7, 8}, s.asleep()[0])
	s.observe(at(7))
	require.Nil(t, s.asleep())
	s.observe(at(7))
	require.Nil(t, s.asleep(), "no read has come since")
	s.noteRead()
	require.Equal(t, [][]uint64{{7}}, s.asleep())
	s.advance(5, 9, []int64{9}, nil)
	require.Nil(t, s.asleep()[1], "the new one is awake")
	s.max = 1
	s.merge()
	require.Nil(t, s.asleep(), "merged with one that is awake")
	s.observe(at(7, 9))
	s.noteRead()
	require.Len(t, s.asleep(), 1)
	s.observe(dialect.Writers{Known: true, Open: []dialect.Writer{{ID: string(rune('a' + 7))}, {ID: string(rune('a' + 9)), Number: 9}}})
	require.Nil(t, s.asleep(), "the number of one is not known")
	s.observe(at())
	require.Nil(t, s.asleep())
	require.True(t, s.proven()[1])
}
