package relay

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// asking notes the gaps of the last read, and counts the probes that had an answer.
type asking struct {
	database
	mu    sync.Mutex
	gaps  []store.Range
	looks int
}

func (a *asking) OpenWriters(ctx context.Context) (store.Writers, error) {
	w, err := a.database.OpenWriters(ctx)
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

func (a *asking) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	a.mu.Lock()
	a.gaps = q.Gaps
	a.mu.Unlock()
	return a.database.Read(ctx, q, visit)
}

// ids returns the number of ids in the gaps.
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

// Hazard forgotten-writer.
// A writer takes an id and is forgotten, with its transaction open. Others commit and roll back. Each id of a
// rollback is a gap, and the forgotten writer was open when the gap was first seen. But the writer has
// executed nothing since before that id was given out. So only its own id remains a gap. Otherwise gaps would
// in time be merged over everything that was deleted since, and every read would step over it. At last the
// writer commits. Its event is delivered before a later event of its key.
func TestAForgottenWriterKeepsItsOwnGapAlone(t *testing.T) {
	t.Parallel()
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.maxGaps = 8
		ask := &asking{}
		b.naive = func(s database) database { ask.database = s; return ask }
		stop := b.start()
		forgotten := b.begin()
		b.add(forgotten, "k", "k1")
		b.commit("other", "o")
		eventually(t, "its id is asked for, and it was seen at rest",
			func() bool { return ask.ids() == 1 && ask.looked() >= 2 })
		sent := 1
		for range 20 {
			b.burn(1)
			b.commit("other", "o")
			sent++
			eventually(t, "the event is delivered", func() bool { return b.sink.count() == sent })
		}
		// MariaDB lists the transactions of the whole server, including those of other tests.
		require.Eventually(t, func() bool { return ask.ids() == 1 }, 2*time.Minute, time.Millisecond,
			"ids that the forgotten writer cannot have are still asked for")
		require.NoError(t, forgotten.Commit())
		b.commit("k", "k2")
		eventually(t, "all are delivered", func() bool { return b.sink.count() == sent+2 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// Hazard forgotten-writer.
// The forgotten writer wakes. It takes an id after it was seen at rest, and rests again until the gap of that
// id was probed. It may still fill the gap: when the gap was probed, the writer had executed something since
// the id was given out.
func TestAWriterThatWakesKeepsTheGapThatItMadeThen(t *testing.T) {
	t.Parallel()
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.cfg.sweepEvery = time.Hour
		count := &counting{}
		b.naive = func(s database) database {
			if naive {
				s = alwaysAtRest{s}
			}
			count.database = s
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
		count.waitForMore(t, 10, 3) // its gap was probed, and read after that
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

// alwaysAtRest reports that every open writer has executed nothing since it began.
type alwaysAtRest struct{ database }

func (s alwaysAtRest) OpenWriters(ctx context.Context) (store.Writers, error) {
	w, err := s.database.OpenWriters(ctx)
	for i := range w.Open {
		w.Open[i].Rest = "at rest"
	}
	return w, err
}
