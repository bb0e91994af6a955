package replica_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

func begin(t *testing.T, db dbtest.Database) *sql.Tx {
	t.Helper()
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// waiting returns when a session of this database waits for a lock.
func waiting(t *testing.T, db dbtest.Database) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := db.DB.QueryRowContext(t.Context(),
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "+
				"AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	}, 30*time.Second, 5*time.Millisecond, "nobody waits")
}

// beside commits tx while do waits for it.
func beside(t *testing.T, db dbtest.Database, tx *sql.Tx, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	waiting(t, db)
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
}

// Hazard older-version-overwrites: a change commits while an older version of its row, read
// before it, is being applied. The naive half asks for the version first and then writes: it
// reads before the commit, waits for the row, and writes over the newer one.
func TestAnOlderVersionThatWaitsForANewerOneChangesNothing(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	r := setUp(t, db)
	race := func(older func() error) map[int64]string {
		apply(t, db, r, put(1, 1, "one"))
		tx := begin(t, db)
		_, err := r.Apply(t.Context(), tx, put(1, 3, "three"))
		require.NoError(t, err)
		beside(t, db, tx, older)
		return rows(t, db)
	}
	var got replica.Result
	end := race(func() error {
		tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if got, err = r.Apply(t.Context(), tx, put(1, 2, "two")); err != nil {
			return err
		}
		return tx.Commit()
	})
	require.Equal(t, replica.Result{Stale: 1}, got)
	require.Equal(t, map[int64]string{1: "three"}, end)

	exec(t, db.DB, "DELETE FROM customers")
	exec(t, db.DB, "DELETE FROM inbox_replica_rows")
	end = race(func() error {
		var version int64
		err := db.DB.QueryRowContext(t.Context(),
			"SELECT version FROM inbox_replica_rows WHERE row_key = '1'").Scan(&version)
		if err != nil || version >= 2 {
			return err
		}
		_, err = db.DB.ExecContext(t.Context(), "UPDATE customers SET name = 'two' WHERE id = 1")
		return err
	})
	require.Equal(t, map[int64]string{1: "two"}, end, "the naive half goes backwards, or the test forces nothing")
}

// Hazard resurrected-row: the end of a backfill removes a row that it did not have, while a
// newer version of it is being applied. The naive half lists such rows without locking them.
func TestTidyDoesNotRemoveARowThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	r := setUp(t, db)
	race := func(tidy func() error) map[int64]string {
		apply(t, db, r, put(2, 5, "unconfirmed"))
		exec(t, db.DB, "UPDATE inbox_replica_rows SET applied_at = '2020-01-01T00:00:00Z' WHERE row_key = '2'")
		apply(t, db, r, of(newer, put(1, 1, "one")), end(newer, 1, past()))
		tx := begin(t, db)
		_, err := r.Apply(t.Context(), tx, put(2, 6, "made again"))
		require.NoError(t, err)
		beside(t, db, tx, tidy)
		return rows(t, db)
	}
	var done replica.Tidied
	left := race(func() (err error) {
		done, err = r.Tidy(t.Context(), db.DB, replica.TidyOptions{})
		return err
	})
	require.Zero(t, done.Removed)
	require.Equal(t, map[int64]string{1: "one", 2: "made again"}, left)

	for _, table := range []string{"customers", "inbox_replica_rows", "inbox_replica_runs"} {
		exec(t, db.DB, "DELETE FROM "+table)
	}
	left = race(func() error {
		var key string
		err := db.DB.QueryRowContext(t.Context(), "SELECT row_key FROM inbox_replica_rows WHERE run_id < "+
			"'"+newer+"' AND applied_at < now() - interval '1 day'").Scan(&key)
		if err != nil {
			return err
		}
		_, err = db.DB.ExecContext(t.Context(), "DELETE FROM customers WHERE id = $1", key)
		return err
	})
	require.Equal(t, map[int64]string{1: "one"}, left, "the naive half removes it, or the test forces nothing")
}
