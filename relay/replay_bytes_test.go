package relay

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

// Large events are sent again over a slow link. Small events of another key arrive, each after the one before
// it was delivered. In the past a round of the replay took in 12 MiB, and then the rest of the thousand rows
// that it had asked for, and there were three rounds between two reads.
func TestOthersFlowWhileLargeParkedEventsAreSentAgain(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		const n, size = 40, 1_500_000
		const columns = "id, event_id, topic, event_key, event_type, payload, headers, created_at"
		b := newBench(t, db)
		b.large(n, size)
		b.exec("INSERT INTO outbox_parked (" + columns + ", state) SELECT " + columns +
			", 'failed' FROM outbox_events ORDER BY id")
		b.exec("DELETE FROM outbox_events")
		link := b.slowly()
		var large, small atomic.Int64
		b.sink.verdict = func(r *Record) error {
			if len(r.Payload) == size {
				large.Add(1)
			} else {
				small.Add(1)
			}
			return nil
		}
		stop := b.start()
		b.commit("small", "s0")
		eventually(t, "the relay is at work", func() bool { return small.Load() == 1 })
		b.ask(sqldb.ParkedRetry, "state = 'failed'")
		passed := int64(0)
		for sent := int64(1); large.Load() < n; sent++ {
			before := large.Load()
			b.commit("small", "s")
			eventually(t, "a small one is delivered", func() bool { return small.Load() == sent+1 })
			passed = max(passed, large.Load()-before)
		}
		b.parkedAre()
		require.NoError(t, stop())
		require.LessOrEqual(t, passed, int64(12), "large events that went before a small one that came")
		require.LessOrEqual(t, link.Carried(), int64(2*n*size), "what a round does not take is not sent")
	})
}
