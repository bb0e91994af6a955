package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
	store "github.com/postroom/postroom/internal/store/relay"
)

type causedError struct{ text, cause string }

func (e *causedError) Error() string       { return e.text }
func (e *causedError) OutageCause() string { return e.cause }

// What stands in the way changes in the course of an outage: the log has a line for each
// change of that, and none for counts and times that pass.
func TestTheLogTellsWhenAnOutageHasAnotherCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		h := newHealth(slog.New(log))
		h.paused(partSink, errors.New("connection refused"))
		start := time.Now()
		for n := range 100 {
			h.paused(partSink, fmt.Errorf("%d records wait for a leader since 10:00:0%d", n, n%10))
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, log.count("delivery paused"))
		require.Equal(t, 1, log.count("connection refused"))
		require.Equal(t, 1, log.count("delivery is still paused"))
		require.Equal(t, 1, log.count("0 records wait for a leader"))
		since, err := h.outage(partSink)
		require.Equal(t, start, since)
		require.ErrorContains(t, err, "wait for a leader")

		hangs := func(offset string) error {
			return fmt.Errorf("open: %w", &causedError{"a transaction hangs at offset " + offset, "offset " + offset})
		}
		h.paused(partSink, hangs("7"))
		h.paused(partSink, hangs("7"))
		h.paused(partSink, hangs("9"))
		require.Equal(t, 1, log.count("hangs at offset 7"))
		require.Equal(t, 1, log.count("hangs at offset 9"), "it says itself that this is another one")

		h.resumed(partSink)
		require.Equal(t, 1, log.count("delivery resumed"))
		_, err = h.outage(partSink)
		require.NoError(t, err)
	})
}

// Two causes that take turns, and any number of different ones, do not flood the log.
func TestCausesThatTakeTurnsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		h := newHealth(slog.New(log))
		for range 5 * 60 {
			h.paused(partSink, errors.New("refused"))
			h.paused(partSink, errors.New("timed out"))
			time.Sleep(time.Second)
		}
		require.Equal(t, 10, log.count("refused")+log.count("timed out"), "two in a minute")

		h.resumed(partSink)
		before := log.count("still paused")
		for n := range 1000 {
			h.paused(partSink, &causedError{"x", fmt.Sprint(n)})
		}
		require.LessOrEqual(t, log.count("still paused")-before, causesLogged)
	})
}

// relay status reads from the lease row what the owner waits for now: not what the outage
// began with, and nothing once it is over.
func TestTheLeaseRowTellsWhatTheOwnerWaitsFor(t *testing.T) {
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
	outage := func() store.Outage {
		s, err := dialect.Status(t.Context(), b.db.DB, sqldb.Names{Dialect: b.db.Dialect})
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
	settles(t, "nothing is told any more", func() bool { return outage() == store.Outage{} })
	require.NoError(t, stop())
	require.True(t, b.empty())
}
