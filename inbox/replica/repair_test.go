package replica_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

func partial(c replica.Change) replica.Change {
	c.Partial = true
	return c
}

// The gate knows the version; only the replica's table was damaged.
func testABackfillMendsDamage(t *testing.T, db dbtest.Database, r *replica.Replica) {
	for name, sent := range map[string]func(replica.Change) replica.Change{"whole": func(
		c replica.Change) replica.Change {
		return of(newer, c)
	}, "partial": partial} {
		apply(t, db, r, put(1, 5, "one"), put(2, 5, "two"), put(3, 5, "three"), put(4, 5, "four"))
		damage := func() {
			exec(t, db.DB, "DELETE FROM customers WHERE id IN (1, 3)")
			exec(t, db.DB, "UPDATE customers SET name = 'altered' WHERE id IN (2, 4)")
		}
		damage()
		require.Equal(t, replica.Result{Stale: 2}, apply(t, db, r, put(1, 5, "one"), put(2, 5, "two")),
			"events are not written again")
		// Copies that others sent do not take the place of the backfill's.
		result := apply(t, db, r, sent(put(1, 5, "one")), sent(put(2, 5, "two")), put(3, 5, "three"),
			sent(put(3, 5, "three")), sent(put(4, 5, "four")), put(4, 5, "four"))
		require.Equal(t, replica.Result{Applied: 4, Stale: 2}, result, name)
		require.Equal(t, map[int64]string{1: "one", 2: "two", 3: "three", 4: "four"}, rows(t, db))
		damage()
		apply(t, db, r, sent(put(1, 5, "one")), sent(put(2, 5, "two")), sent(put(3, 5, "three")),
			sent(put(4, 5, "four")))
		require.Len(t, rows(t, db), 4, "as often as need be")
		require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, sent(put(2, 4, "before"))),
			"an older version is stale, whoever sends it")
		require.Equal(t, replica.Result{Deleted: 1}, apply(t, db, r, gone(2, 6)), "and deleted what it has written")
		require.Equal(t, map[int64]string{1: "one", 3: "three", 4: "four"}, rows(t, db))
		exec(t, db.DB, "DELETE FROM customers")
		exec(t, db.DB, "DELETE FROM inbox_replica_rows")
	}
}

func testABackfillDoesNotUndoADeletion(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, gone(1, 5), gone(2, 5), put(3, 5, "three"))
	require.Equal(t, replica.Result{Stale: 2}, apply(
		t, db, r, of(newer, put(1, 5, "of the same version")), partial(put(2, 4, "of an older one"))))
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, of(newer, gone(3, 5))), "nor makes one")
	require.Equal(t, replica.Result{Deleted: 1, Stale: 1},
		apply(t, db, r, gone(4, 5), of(newer, put(4, 5, "in one batch"))))
	require.Equal(t, map[int64]string{3: "three"}, rows(t, db))
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, put(1, 5, "the tombstone is as it was")))
	require.Equal(t, replica.Result{Applied: 1}, apply(t, db, r, of(newer, put(1, 6, "made again"))))
}

func testAPartialBackfillIsNotCounted(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, put(1, 1, "one"), partial(put(2, 1, "two")))
	var runs int
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_replica_runs").Scan(&runs))
	require.Zero(t, runs)
	require.Equal(t, replica.Tidied{}, tidy(t, db, r, replica.TidyOptions{}))
	require.Len(t, rows(t, db), 2)
}

// Its rows may come after a newer run has finished: from a partition that was behind.
func testAnOlderRunThatIsHeardOfLateIsNotWaitedFor(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, of(newer, put(1, 1, "one")), end(newer, 1, past()))
	tidy(t, db, r, replica.TidyOptions{})
	apply(t, db, r, of(older, put(2, 1, "late")), gone(3, 4))
	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db)+" WHERE deleted_at IS NOT NULL")
	require.Equal(t, replica.Tidied{Pruned: 1}, tidy(t, db, r, replica.TidyOptions{Tombstones: time.Hour}))
	require.Len(t, rows(t, db), 2)
}

func testClocksMayDifferByTheMargin(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, put(2, 1, "written before the start, by the source's clock"))
	apply(t, db, r, of(newer, put(1, 1, "one")), end(newer, 1, time.Now().Add(30*time.Second)))
	require.Zero(t, tidy(t, db, r, replica.TidyOptions{}).Removed)
	require.Len(t, rows(t, db), 2)
	later := newer[:len(newer)-1] + "3"
	apply(t, db, r, of(later, put(1, 1, "one")), end(later, 1, time.Now().Add(30*time.Second)))
	require.Equal(t, int64(1), tidy(t, db, r, replica.TidyOptions{Margin: time.Second}).Removed)
}

// Hazard resurrected-row.
// A DELETE that waits for a row looks at its outer condition again, not at the subquery.
func TestATombstoneThatIsMadeAnewIsNotPruned(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	r := setUp(t, db)
	apply(t, db, r, gone(1, 1))
	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db))
	tx := begin(t, db)
	_, err := r.Apply(t.Context(), tx, put(1, 2, "again"))
	require.NoError(t, err)
	_, err = r.Apply(t.Context(), tx, gone(1, 3))
	require.NoError(t, err)
	var done replica.Tidied
	beside(t, db, tx, func() (err error) {
		done, err = r.Tidy(t.Context(), db.DB, replica.TidyOptions{Tombstones: time.Hour})
		return err
	})
	require.Equal(t, replica.Tidied{}, done)
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, put(1, 2, "late")))
}

// The sequence counts the tries, which are rolled back.
func TestTidyRepeatsWhatAnotherTransactionEnded(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	r := setUp(t, db)
	exec(t, db.DB, "CREATE SEQUENCE tries")
	exec(t, db.DB, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF nextval('tries') % 10 <> 0 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN OLD; END $$`)
	for _, table := range []string{"customers", "inbox_replica_rows"} {
		exec(t, db.DB, "CREATE TRIGGER fail BEFORE DELETE ON "+table+" FOR EACH ROW EXECUTE FUNCTION fail()")
	}
	apply(t, db, r, put(1, 1, "goes"))
	apply(t, db, r, of(newer, put(2, 1, "stays")), end(newer, 1, soon()), gone(3, 1))
	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db)+" WHERE deleted_at IS NOT NULL")
	require.Equal(t, replica.Tidied{Removed: 1, Pruned: 1}, tidy(t, db, r, replica.TidyOptions{Tombstones: time.Hour}))

	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db)+" WHERE deleted_at IS NOT NULL")
	exec(t, db.DB, "SELECT setval('tries', 10)")
	exec(t, db.DB, "ALTER SEQUENCE tries INCREMENT 10 RESTART 11")
	_, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{Tombstones: time.Hour})
	require.ErrorContains(t, err, "deadlock", "not for ever")
}

// Partitions of one backfill are applied at the same time.
func TestTransactionsOfOneBackfillDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		if db.Dialect == inbox.SQLite {
			t.Skip("SQLite has one writer")
		}
		r := setUp(t, db)
		apply(t, db, r, of(newer, put(1, 1, "one")))
		tx := begin(t, db)
		_, err := r.Apply(t.Context(), tx, of(newer, put(2, 1, "two")))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		beside, err := db.DB.BeginTx(ctx, &sql.TxOptions{})
		require.NoError(t, err)
		defer func() { _ = beside.Rollback() }()
		_, err = r.Apply(ctx, beside, of(newer, put(3, 1, "three")))
		require.NoError(t, err)
		require.NoError(t, beside.Commit())
		require.NoError(t, tx.Commit())
	})
}

// A program's own decoding knows nothing of backfills.
func TestTheHandlerReadsABackfillsHeadersItself(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	r := setUp(t, db)
	decode := func(m inbox.Message) (replica.Change, error) {
		require.Equal(t, "row", string(m.Payload), "a marker is not decoded")
		return put(1, 7, "one"), nil
	}
	tx := begin(t, db)
	handle := r.BatchHandler(decode)
	run := map[string]string{replica.HeaderRun: newer}
	marker := map[string]string{replica.HeaderRun: newer, replica.HeaderSent: "1",
		replica.HeaderStarted: time.Now().Format(time.RFC3339)}
	require.NoError(t, handle(t.Context(), tx, []inbox.Message{{ID: "a", Payload: []byte("row"), Headers: run},
		{ID: "b", Payload: []byte("{}"), Headers: marker}}))
	require.NoError(t, tx.Commit())
	exec(t, db.DB, "UPDATE inbox_replica_rows SET applied_at = "+longAgo(db))
	require.Equal(t, replica.Tidied{}, tidy(t, db, r, replica.TidyOptions{}), "all has come, and the row is the run's")

	exec(t, db.DB, "DELETE FROM customers")
	tx = begin(t, db)
	require.NoError(t, r.Handler(decode)(t.Context(), tx,
		inbox.Message{ID: "c", Payload: []byte("row"), Headers: map[string]string{replica.HeaderPartial: "true"}}))
	require.NoError(t, tx.Commit())
	require.Equal(t, map[int64]string{1: "one"}, rows(t, db), "a partial run's row is written again")
}
