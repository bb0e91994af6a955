package relay

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/source"
)

// relay status reads from the lease row what the owner waits for now. That is not the first cause of the
// outage, and it is nothing after the outage.
func TestTheLeaseRowTellsWhatTheOwnerWaitsFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	var reason atomic.Pointer[error]
	because := func(text string) { err := errors.New(text); reason.Store(&err) }
	because("connection refused")
	sink := &testSink{verdict: func(*Record) error {
		if err := reason.Load(); err != nil {
			return *err
		}
		return nil
	}}
	r, err := New(Config{
		DB: b.db.DB, Dialect: b.db.Dialect, Sink: sink, LeaseTTL: 2 * time.Second,
		Logger:   slog.New(slog.DiscardHandler),
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, unreachableAfter: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	tables, err := source.New(b.db.DB, sqldb.Names{Dialect: b.db.Dialect})
	require.NoError(t, err)
	outage := func() source.Outage {
		s, err := tables.State(t.Context())
		require.NoError(t, err)
		return s.Outage
	}
	stop := start(t, r)
	b.commit("k", "k1")
	settles(t, "the first cause is told",
		func() bool { return strings.Contains(outage().Reason, "connection refused") })
	since := outage().Since
	because("a transaction hangs")
	settles(t, "so is the next one", func() bool { return strings.Contains(outage().Reason, "a transaction hangs") })
	require.Equal(t, since, outage().Since)
	reason.Store(nil)
	settles(t, "nothing is told any more", func() bool { return outage() == source.Outage{} })
	require.NoError(t, stop())
	require.True(t, b.empty())
}
