//go:build unix

package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
)

// openPrivate opens a server of the test's own.
func openPrivate(t *testing.T, url string) dbtest.Database {
	t.Helper()
	var target *dbopen.Target
	var last error
	if !poll(func() bool { target, last = dbopen.Open(t.Context(), url); return last == nil }) {
		require.NoError(t, last, "the test's own server did not come up")
	}
	t.Cleanup(func() { require.NoError(t, target.DB.Close()) })
	return dbtest.Database{Dialect: target.Dialect, DB: target.DB, URL: url}
}

// poll waits for a condition, and reports whether it came true. Unlike eventually it
// calls cond from the caller's goroutine.
func poll(cond func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if cond() {
			return true
		}
	}
	return false
}

// A real standby: a cluster that was stopped and started again with standby.signal. It
// shows rows, and may lag behind the primary, so it is refused; once promoted it serves.
func TestAStandbyOfPostgreSQLIsRefused(t *testing.T) {
	t.Parallel()
	server := newPostgres(t)
	primary := openPrivate(t, server.url)
	in := install(t, primary, "", "")
	w := newWorld(t, in)
	w.commit("k", "k1")
	server.restartAsStandby(t)

	w.cfg.DB = openPrivate(t, server.url).DB
	require.ErrorIs(t, w.run(), relay.ErrStandby)
	require.Zero(t, w.sink.count())
	require.Zero(t, w.sink.sessions)

	_, err := w.cfg.DB.ExecContext(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)
	run := w.start()
	w.waitPublished(1)
	require.NoError(t, run.stop())
}

// On MariaDB read_only is what makes a replica. A primary that becomes one while the
// relay works is left alone until it is a primary again.
func TestAStandbyOfMariaDBIsRefusedAndOneThatBecomesItIsLeftAlone(t *testing.T) {
	t.Parallel()
	in := install(t, openPrivate(t, newMariaDB(t)), "", "")
	w := newWorld(t, in)
	w.commit("k", "k1")
	w.exec("SET GLOBAL read_only = 1")
	require.ErrorIs(t, w.run(), relay.ErrStandby)
	require.Zero(t, w.sink.count())

	w.exec("SET GLOBAL read_only = 0")
	run := w.start()
	w.waitPublished(1)
	w.waitEmpty()
	w.exec("SET GLOBAL read_only = 1")
	w.unlessWithin(300*time.Millisecond, func() bool { return false }) // reads under way end
	w.commit("k", "k2")                                                // root may write all the same
	w.unlessWithin(500*time.Millisecond, func() bool { return w.sink.count() > 1 })
	require.Equal(t, 1, w.sink.count(), "read from a standby")
	w.exec("SET GLOBAL read_only = 0")
	w.waitEmpty()
	require.NoError(t, run.stop())
	requireOrder(t, w.sink.values(), "k", 2)
}
