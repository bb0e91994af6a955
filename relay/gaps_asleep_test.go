package relay

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// awake notes how many ids the last read had to look for. These are the ids in gaps that are not asleep.
type awake struct {
	database
	mu    sync.Mutex
	ids   int64
	named int64 // ids of all gaps, including those asleep
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
// A writer is open and busy for long, while others roll back. Nobody can see that the ids of their rows are
// not its own. In time the gaps are merged over everything that was deleted since, and the writer's open
// transaction keeps those rows. While it runs, no read walks over them, because the read could not see what
// the writer has written. After its end one read returns its events together with those that waited for it,
// before a later event of its key.
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
				_, err := busy.Exec("SELECT 1") // it is busy
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
