package replica_test

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	older = "0190a0e8-7e6b-7000-8000-000000000001"
	newer = "0190a0e8-7e6b-7000-8000-000000000002"
)

func config() replica.Config {
	return replica.Config{Table: "customers", Key: []string{"id"}, Columns: []string{"name"}}
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err, query)
}

func setUp(t *testing.T, db dbtest.Database) *replica.Replica {
	t.Helper()
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100))")
	r, err := replica.New(db.Dialect, config())
	require.NoError(t, err)
	return r
}

func apply(t *testing.T, db dbtest.Database, r *replica.Replica, changes ...replica.Change) replica.Result {
	t.Helper()
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	result, err := r.Apply(t.Context(), tx, changes...)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	return result
}

func put(id, version int64, name any) replica.Change {
	return replica.Change{Version: version, Values: map[string]any{"id": id, "name": name}}
}

func gone(id, version int64) replica.Change {
	return replica.Change{Version: version, Deleted: true, Values: map[string]any{"id": id}}
}

func of(run string, c replica.Change) replica.Change {
	c.RunID = run
	return c
}

func end(run string, sent int64, started time.Time) replica.Change {
	return replica.Change{RunID: run, End: &replica.End{Sent: sent, Started: started}}
}

func rows(t *testing.T, db dbtest.Database) map[int64]string {
	t.Helper()
	found, err := db.DB.QueryContext(t.Context(), "SELECT id, name FROM customers")
	require.NoError(t, err)
	defer func() { _ = found.Close() }()
	all := map[int64]string{}
	for found.Next() {
		var id int64
		var name sql.NullString
		require.NoError(t, found.Scan(&id, &name))
		all[id] = name.String
	}
	require.NoError(t, found.Err())
	return all
}

func tidy(t *testing.T, db dbtest.Database, r *replica.Replica, o replica.TidyOptions) replica.Tidied {
	t.Helper()
	done, err := r.Tidy(t.Context(), db.DB, o)
	require.NoError(t, err)
	return done
}

// Each part begins with empty tables.
func TestReplica(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := setUp(t, db)
		for _, c := range []struct {
			name string
			test func(*testing.T, dbtest.Database, *replica.Replica)
		}{
			{"an older version changes nothing", testAnOlderVersionChangesNothing},
			{"a late version does not bring a deleted row back", testALateVersionDoesNotBringADeletedRowBack},
			{"the newest of a batch is applied", testTheNewestOfABatchIsApplied},
			{"a backfill removes what the source no longer has", testABackfillRemovesWhatTheSourceNoLongerHas},
			{"an end marker waits for every row", testAnEndMarkerWaitsForEveryRow},
			{"a row newer than a backfill's start stays", testARowNewerThanABackfillsStartStays},
			{"tombstones outlive a backfill", testTombstonesOutliveABackfill},
			{"a newer backfill makes an older one needless", testANewerBackfillMakesAnOlderOneNeedless},
			{"a backfill mends damage", testABackfillMendsDamage},
			{"a backfill does not undo a deletion", testABackfillDoesNotUndoADeletion},
			{"a partial backfill is not counted", testAPartialBackfillIsNotCounted},
			{"an older run that is heard of late is not waited for", testAnOlderRunThatIsHeardOfLateIsNotWaitedFor},
			{"clocks may differ by the margin", testClocksMayDifferByTheMargin},
			{"random histories end as the source does", testRandomHistoriesEndAsTheSourceDoes},
		} {
			t.Run(c.name, func(t *testing.T) { c.test(t, db, r) })
			for _, table := range []string{"customers", "inbox_replica_rows", "inbox_replica_runs"} {
				exec(t, db.DB, "DELETE FROM "+table)
			}
		}
	})
}

func testAnOlderVersionChangesNothing(t *testing.T, db dbtest.Database, r *replica.Replica) {
	require.Equal(t, replica.Result{Applied: 2}, apply(t, db, r, put(1, 5, "five"), put(2, 1, nil)))
	require.Equal(t, replica.Result{Stale: 2}, apply(t, db, r, put(1, 4, "four"), gone(2, 1)))
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, put(1, 5, "other five")), "the first to arrive stays")
	require.Equal(t, map[int64]string{1: "five", 2: ""}, rows(t, db))
	require.Equal(t, replica.Result{Applied: 1}, apply(t, db, r, put(1, 6, "six")))
	require.Equal(t, map[int64]string{1: "six", 2: ""}, rows(t, db))
}

func testALateVersionDoesNotBringADeletedRowBack(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, put(1, 1, "one"))
	require.Equal(t, replica.Result{Deleted: 2}, apply(t, db, r, gone(1, 3), gone(9, 2)),
		"of a row that never came, too")
	require.Equal(t, replica.Result{Stale: 2}, apply(t, db, r, put(1, 2, "two"), put(9, 1, "nine")))
	require.Empty(t, rows(t, db))
	apply(t, db, r, put(1, 4, "again"))
	require.Equal(t, map[int64]string{1: "again"}, rows(t, db))
}

func testTheNewestOfABatchIsApplied(t *testing.T, db dbtest.Database, r *replica.Replica) {
	result := apply(t, db, r, put(1, 2, "two"), put(1, 3, "three"), put(1, 1, "one"), put(1, 3, "three"),
		put(2, 1, "x"), gone(2, 2))
	require.Equal(t, replica.Result{Applied: 1, Deleted: 1, Stale: 4}, result)
	require.Equal(t, map[int64]string{1: "three"}, rows(t, db))
}

// longAgo is a time in SQL, as the tables have it.
func longAgo(db dbtest.Database) string {
	if db.Dialect == inbox.MySQL {
		return "'2020-01-01 00:00:00.000000'"
	}
	return "'2020-01-01T00:00:00.000000Z'"
}

// past and soon are before and after every change of a test.
func past() time.Time { return time.Now().Add(-24 * time.Hour) }
func soon() time.Time { return time.Now().Add(time.Hour) }

func testABackfillRemovesWhatTheSourceNoLongerHas(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, put(1, 1, "stays"), put(2, 5, "deleted at the source, its event lost"))
	// The marker comes first, and rows come twice and late.
	apply(t, db, r, end(newer, 2, soon()))
	apply(t, db, r, of(newer, put(1, 1, "stays")), of(newer, put(1, 1, "stays")))
	apply(t, db, r, put(3, 7, "newer"), of(newer, put(3, 6, "stale, but there")))
	require.Equal(t, int64(1), tidy(t, db, r, replica.TidyOptions{}).Removed)
	require.Equal(t, map[int64]string{1: "stays", 3: "newer"}, rows(t, db))
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, put(2, 4, "late")), "a tombstone is left")
	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db)+" WHERE deleted_at IS NOT NULL")
	require.Equal(t, int64(1), tidy(t, db, r, replica.TidyOptions{Tombstones: time.Hour}).Pruned,
		"it goes as others do")

	apply(t, db, r, put(4, 1, "new"))
	apply(t, db, r, end(newer, 2, soon()), of(newer, put(1, 1, "stays")))
	require.Zero(t, tidy(t, db, r, replica.TidyOptions{}).Removed,
		"a marker that comes again, and late, removes nothing")
	require.Contains(t, rows(t, db), int64(4))
}

func testAnEndMarkerWaitsForEveryRow(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, put(1, 1, "one"), put(2, 1, "two"), put(3, 1, "three"))
	apply(t, db, r, end(newer, 2, soon()), of(newer, put(1, 1, "one")))
	apply(t, db, r, of(newer, put(1, 1, "one"))) // a copy is no second row
	done := tidy(t, db, r, replica.TidyOptions{})
	require.Equal(t, []replica.Run{{ID: newer, Arrived: 1, Sent: 2}}, done.Waiting)
	require.Len(t, rows(t, db), 3)
	apply(t, db, r, of(newer, put(2, 1, "two")))
	require.Equal(t, replica.Tidied{Removed: 1}, tidy(t, db, r, replica.TidyOptions{}))
	require.Equal(t, map[int64]string{1: "one", 2: "two"}, rows(t, db))
}

func testARowNewerThanABackfillsStartStays(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, of(newer, put(1, 1, "one")))
	apply(t, db, r, put(2, 1, "made behind the backfill's back"))
	apply(t, db, r, end(newer, 1, past()))
	require.Equal(t, replica.Tidied{}, tidy(t, db, r, replica.TidyOptions{}))
	require.Len(t, rows(t, db), 2)
}

func testTombstonesOutliveABackfill(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, of(newer, put(1, 1, "one")), gone(2, 2))
	soonest := replica.TidyOptions{Tombstones: time.Hour}
	exec(t, db.DB, "UPDATE inbox_replica_rows SET deleted_at = "+longAgo(db)+" WHERE deleted_at IS NOT NULL")
	require.Zero(t, tidy(t, db, r, soonest).Pruned)
	// Read by the backfill before the row was deleted.
	require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, of(newer, put(2, 1, "two"))))
	apply(t, db, r, end(newer, 2, past()))
	require.Equal(t, int64(1), tidy(t, db, r, soonest).Pruned)

	apply(t, db, r, gone(2, 2))
	require.Zero(t, tidy(t, db, r, replica.TidyOptions{Tombstones: time.Hour}).Pruned)
	_, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{Tombstones: time.Hour, Parked: 2 * time.Hour})
	require.ErrorContains(t, err, "parked")
}

func testANewerBackfillMakesAnOlderOneNeedless(t *testing.T, db dbtest.Database, r *replica.Replica) {
	apply(t, db, r, of(older, put(1, 1, "one")), put(2, 1, "two"))
	apply(t, db, r, of(newer, put(1, 1, "one")), end(newer, 1, soon()))
	apply(t, db, r, of(older, put(1, 1, "one"))) // late: the row stays the newer run's
	require.Equal(t, replica.Tidied{Removed: 1}, tidy(t, db, r, replica.TidyOptions{}))
	require.Empty(t, tidy(t, db, r, replica.TidyOptions{}).Waiting)
}

func TestWhatCannotBeAppliedIsRefusedBeforeAnySQL(t *testing.T) {
	t.Parallel()
	r, err := replica.New("sqlite", config())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change replica.Change
		want   error
	}{
		"no version":       {put(1, 0, "x"), replica.ErrVersion},
		"negative version": {gone(1, -1), replica.ErrVersion},
		"no column":        {replica.Change{Version: 1, Values: map[string]any{"id": 1}}, replica.ErrValues},
		"no key":           {replica.Change{Version: 1, Values: map[string]any{"name": "x"}}, replica.ErrValues},
		"a key of 1.5": {replica.Change{Version: 1, Deleted: true, Values: map[string]any{"id": 1.5}},
			replica.ErrValues},
		"a key 1.0": {replica.Change{Version: 1, Deleted: true, Values: map[string]any{"id": json.Number("1.0")}},
			replica.ErrValues},
		"a key 1e2": {replica.Change{Version: 1, Deleted: true, Values: map[string]any{"id": json.Number("1e2")}},
			replica.ErrValues},
		"a key too long": {replica.Change{Version: 1, Deleted: true,
			Values: map[string]any{"id": strings.Repeat("x", 501)}}, replica.ErrValues},
		"an empty key": {replica.Change{Version: 1, Deleted: true, Values: map[string]any{"id": ""}},
			replica.ErrValues},
	} {
		_, err := r.Apply(t.Context(), nil, c.change)
		require.ErrorIs(t, err, c.want, name)
	}
	for _, c := range []replica.Config{
		{}, {Table: "t"}, {Table: "t;", Key: []string{"id"}}, {Table: "t", Key: []string{"id"},
			Columns: []string{"id"}},
		{Table: "t", Key: []string{"id"}, Columns: []string{`a"b`}}, {Table: "t", Key: []string{"id"},
			Times: []string{"at"}},
		{Table: "t", Key: []string{"id"}, Bytes: []string{"photo"}},
		{Table: "t", Key: []string{"id"}, JSON: []string{"extra"}},
		{Table: "t", Schema: "s", Key: []string{"id"}},
	} {
		_, err := replica.New("sqlite", c)
		require.ErrorIs(t, err, replica.ErrConfig)
	}
}

func TestDecodeKeepsEveryDigit(t *testing.T) {
	t.Parallel()
	c, err := replica.Decode(map[string]string{replica.HeaderRun: newer},
		[]byte(`{"version":9007199254740993,"id":9007199254740993,"name":null}`))
	require.NoError(t, err)
	require.Equal(t, int64(9007199254740993), c.Version)
	require.Equal(t, newer, c.RunID)
	_, err = replica.Decode(nil, []byte(`{"id":1}`))
	require.ErrorIs(t, err, replica.ErrVersion)
	_, err = replica.Decode(map[string]string{replica.HeaderSent: "x"}, nil)
	require.ErrorIs(t, err, replica.ErrValues)
}

func TestTheHandlerAppliesJSONAndDeletions(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100))")
	r, err := replica.New(db.Dialect, config())
	require.NoError(t, err)
	handle := r.BatchHandler(nil)
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	require.NoError(t, handle(t.Context(), tx, []inbox.Message{
		{ID: "a", Payload: []byte(`{"version":1,"id":7,"name":"seven"}`)},
		{ID: "b", Payload: []byte(`{"version":1,"id":8,"name":"eight"}`)},
	}))
	require.NoError(t, r.Handler(nil)(t.Context(), tx,
		inbox.Message{ID: "c", Payload: []byte(`{"version":2,"deleted":true,"id":7}`)}))
	require.ErrorIs(t, handle(t.Context(), tx, []inbox.Message{{ID: "d", Payload: []byte("no JSON")}}),
		replica.ErrValues)
	require.NoError(t, tx.Commit())
	require.Equal(t, map[int64]string{8: "eight"}, rows(t, db))
}
