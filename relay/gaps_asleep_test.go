package relay

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// awake keeps how many ids the last read had to look for: those in gaps that are not asleep.
type awake struct {
	database
	mu    sync.Mutex
	ids   int64
	named int64 // those asleep included
	reads int
}

func (a *awake) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	a.mu.Lock()
	a.ids, a.named, a.reads = 0, 0, a.reads+1
	for i, g := range q.Gaps {
		a.named += g.Hi - g.Lo + 1
		if len(q.Asleep) == 0 || len(q.Asleep[i]) == 0 {
			a.ids += g.Hi - g.Lo + 1
		}
	}
	a.mu.Unlock()
	return a.database.Read(ctx, q, visit)
}

func (a *awake) last() (ids, named int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids, a.named
}

// Hazard busy-writer.
// A writer is open for long and at work, while others roll back: each id that they burn may
// be its own, for all that anybody can see. In time the gaps are merged over all that was
// deleted since, and its open transaction keeps those rows. No read walks over them while it
// runs: it could not see what the writer has written. At its end its events are seen by the
// same read as those that it held up, and before a later one of its key.
func TestReadsDoNotWalkOverTheGapsOfABusyWriter(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, fresh(t)))
			b.cfg.maxGaps = 8
			reads := &awake{}
			b.naive = func(s database) database { reads.database = s; return reads }
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
