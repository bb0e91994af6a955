package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// unparksLate fails a number of times to delete delivered rows from outbox_parked.
type unparksLate struct {
	database
	failures atomic.Int64
}

func (s *unparksLate) Unpark(ctx context.Context, l store.Lease,
	rows []store.DeliveredParked) ([]sqldb.EventKey, error) {
	if s.failures.Add(-1) >= 0 {
		return nil, errors.New("connection reset")
	}
	return s.database.Unpark(ctx, l, rows)
}

// Hazard late-retry-delete.
// Parked rows are sent again, and the database fails whenever they should be deleted. In the past they stayed
// in flight for the rest of the session, even after they were deleted at last: 30 of them filled a window of
// 20, and nothing was read any more.
func TestARetryWhoseRowsAreDeletedLateLeavesTheWindow(t *testing.T) {
	const events, window = 30, 20
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.MaxInFlight, b.cfg.BatchSize = window, window
	late := &unparksLate{}
	b.naive = func(s database) database { late.database = s; return late }
	values := numbered("n", events)
	b.refuse(values...)
	b.commit("", values...)
	stop := b.start()
	eventually(t, "all are parked", func() bool { return len(b.parked()) == events })
	b.refuse()
	for i := range events {
		late.failures.Store(1)
		b.exec("UPDATE outbox_parked SET state = 'retry' WHERE seq = (SELECT MIN(seq) FROM outbox_parked)")
		eventually(t, "one is sent again and deleted", func() bool { return len(b.parked()) == events-1-i })
	}
	b.commit("k", "k1")
	eventually(t, "what comes later is delivered", b.empty)
	require.NoError(t, stop())
	require.ElementsMatch(t, append(values, "k1"), b.sink.values(), "each is sent once")
}
