//go:build unix

package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/servertest"
	"github.com/postroom/postroom/relay"
)

// A real standby: a cluster that was stopped and started again with standby.signal. It
// shows rows, and may lag behind the primary, so it is refused; once promoted it serves.
func TestAStandbyOfPostgreSQLIsRefused(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgreSQL(t)
	primary := servertest.Open(t, server.URL)
	in := install(t, primary, "", "")
	w := newWorld(t, in)
	w.commit("k", "k1")
	server.RestartAsStandby(t)

	w.cfg.DB = servertest.Open(t, server.URL).DB
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
	in := install(t, servertest.Open(t, servertest.NewMariaDB(t)), "", "")
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
