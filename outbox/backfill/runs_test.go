package backfill_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/cli"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

// Hazard two-backfills.
// A replica takes the higher id for the newer run: with a lower one, rows that only the
// older run had are not removed.
func TestALaterRunHasAHigherID(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 1)
		exec(t, db.DB, "INSERT INTO outbox_backfills (run_id, name, topics) VALUES "+
			"('ffffffff-0000-7000-8000-0000000000ff', 'of a clock that was ahead', '{}')")
		for _, want := range []string{"ffffffff-0000-7000-8000-000000000100", "ffffffff-0000-7000-8000-000000000101"} {
			done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
			require.NoError(t, err)
			require.Equal(t, want, done.RunID)
		}
	})
}

// Its start decides what the replica removes, so it is not that of a try that sent nothing.
func TestARunThatSentNothingBeginsAgain(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 1)
		c.Outbox = []outbox.Option{outbox.WithMaxPayload(1)}
		first, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		require.ErrorIs(t, err, outbox.ErrTooLarge)
		require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_backfills WHERE running = 1 AND chunks = 0"))
		other := c
		other.Name, other.Outbox = "another", nil
		newer, err := backfill.Run(t.Context(), db.DB, db.Dialect, other)
		require.NoError(t, err)

		exec(t, db.DB, "UPDATE outbox_backfills SET started_at = '2020-01-01T00:00:00.000000"+
			map[bool]string{true: "'", false: "Z'"}[db.Dialect == "mysql"])
		exec(t, db.DB, "INSERT INTO customers VALUES (2, 'ahead of the first bound', 1)")
		c.Outbox = nil
		done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		require.NoError(t, err)
		require.Greater(t, done.RunID, newer.RunID)
		require.True(t, done.Started.After(newer.Started.Add(-time.Hour)), "%s, %s", done.Started, newer.Started)
		require.Greater(t, done.RunID, first.RunID)
		require.False(t, done.Resumed)
		require.Equal(t, int64(2), done.Sent)
		require.Equal(t, 2, count(t, db, "SELECT count(*) FROM outbox_backfills"), "it takes the first one's place")
	})
}

func TestAnAbandonedRunSendsNoMarker(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 3)
		c.Chunk = 1
		_, err := backfill.Abandon(t.Context(), db.DB, db.Dialect, c)
		require.ErrorIs(t, err, backfill.ErrConfig, "there is none")
		var abandoned backfill.Progress
		watched := c
		watched.Progress = func(backfill.Progress) {
			var err error
			abandoned, err = backfill.Abandon(t.Context(), db.DB, db.Dialect, c)
			require.NoError(t, err)
		}
		done, err := backfill.Run(t.Context(), db.DB, db.Dialect, watched)
		require.ErrorIs(t, err, backfill.ErrOther, "a process that is still at it is told")
		require.Equal(t, done.RunID, abandoned.RunID)
		require.Equal(t, int64(1), abandoned.Sent)
		require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_events"))
		require.Equal(
			t, 1,
			count(t, db, "SELECT count(*) FROM outbox_backfills WHERE finished_at IS NOT NULL AND running IS NULL"),
		)
		c.Query += " WHERE id > 1"
		again, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		require.NoError(t, err)
		require.NotEqual(t, done.RunID, again.RunID)
	})
}

// Hazard two-backfills.
// Two processes begin a run at the same time: the second waits for the first's row.
func TestOfTwoFirstRunsOneIsTold(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	c := customers(t, db, 1)
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "INSERT INTO outbox_backfills (run_id, name, running, topics) VALUES "+
		"('01900000-0000-7000-8000-000000000001', 'customers', 1, '{}')")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		done <- err
	}()
	require.Eventually(t, func() bool {
		return count(
			t, db,
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
		) > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit())
	require.ErrorIs(t, <-done, backfill.ErrOther)
}

// The locks of keys are rows on MariaDB: without their table a run that takes them fails.
func TestTheCommandLocksKeysWhenItIsTold(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	c := customers(t, db, 1)
	exec(t, db.DB, "DROP TABLE outbox_key_locks")
	file := filepath.Join(t.TempDir(), "query.sql")
	require.NoError(t, os.WriteFile(file, []byte(c.Query), 0o600))
	for _, want := range []struct {
		flags []string
		code  int
	}{{nil, 0}, {[]string{"--strict-key-order"}, 1}} {
		var out bytes.Buffer
		code := cli.Main(cli.Env{Args: append(
			[]string{"backfill", "--name", "customers", "--position", "id", "--query-file", file}, want.flags...,
		),
			Environ: []string{"POSTROOM_DATABASE_URL=" + db.URL}, Stdout: &out, Stderr: &out})
		require.Equal(t, want.code, code, out.String())
		require.Equal(t, want.code == 1, bytes.Contains(out.Bytes(), []byte("outbox_key_locks")), out.String())
	}
}
