package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
)

// relayGrants are those of docs/tables.md for a relay, with what may be left out last.
func relayGrants(d db.Dialect) []string {
	grants := []string{
		"SELECT, INSERT, DELETE ON outbox_events",
		"SELECT, UPDATE ON outbox_leases",
		"SELECT, INSERT, UPDATE, DELETE ON outbox_parked",
		"SELECT, INSERT, UPDATE, DELETE ON outbox_scheduled",
		"SELECT, INSERT, UPDATE, DELETE ON outbox_archive",
		"SELECT, INSERT, UPDATE, DELETE ON outbox_drops",
		"SELECT, INSERT, UPDATE, DELETE ON outbox_relays",
		"SELECT ON postroom_schema",
	}
	if d == db.PostgreSQL {
		return append(grants, "SELECT ON SEQUENCE outbox_events_id_seq")
	}
	return append(grants, "SELECT, UPDATE ON outbox_key_locks", "PROCESS ON *.*")
}

// eachWithUsers runs f on the servers that have users.
func eachWithUsers(t *testing.T, f func(t *testing.T, in installation)) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, install(t, server(t), "", ""))
		})
	}
}

// A writer that may INSERT into one table, and a relay with its grants, with the last of
// them and without: rolled back and late events do their part.
func TestLeastPrivilegeIsEnough(t *testing.T) {
	eachWithUsers(t, func(t *testing.T, in installation) {
		for _, left := range []int{0, 1} {
			w := newWorld(t, in)
			grants := relayGrants(in.db.Dialect)
			w.cfg.DB = dbtest.Restricted(t, in.db, grants[:len(grants)-left]...).DB
			writer := dbtest.Restricted(t, in.db, "INSERT ON outbox_events")
			run := w.start()
			late, err := writer.DB.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			w.add(late, event("late", "late"))
			for i := range 30 {
				tx, err := writer.DB.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				w.add(tx, event("k", numbered("k", 30)[i]))
				if i%3 == 1 {
					require.NoError(t, tx.Rollback())
					continue
				}
				require.NoError(t, tx.Commit())
			}
			w.waitPublished(20)
			require.NoError(t, late.Commit())
			w.waitEmpty()
			require.NoError(t, run.stop())
			require.Equal(t, 21, w.sink.count())
			requireAll(t, w.sink, []string{"late"})
			_, err = writer.DB.ExecContext(t.Context(), "SELECT id FROM outbox_events")
			require.True(t, db.IsDenied(err), "a writer reads nothing: %v", err)
		}
	})
}

// A relay's user who lacks a right is told which tables and where to look.
func TestAMissingRightIsNamed(t *testing.T) {
	eachWithUsers(t, func(t *testing.T, in installation) {
		w := newWorld(t, in)
		w.cfg.DB = dbtest.Restricted(t, in.db, "SELECT, DELETE ON outbox_events").DB
		err := w.run()
		require.Error(t, err)
		require.NotErrorIs(t, err, relay.ErrNotMigrated)
		require.ErrorContains(t, err, "docs/tables.md")
		require.ErrorContains(t, err, "outbox_")
	})
}
