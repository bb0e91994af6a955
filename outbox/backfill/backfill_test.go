package backfill_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var query = map[string]string{
	"postgresql": `SELECT id, 'customers' AS topic, id::text AS event_key, 'customer' AS event_type,
json_build_object('version', version, 'id', id, 'name', name)::text AS payload FROM customers`,
	"mysql": `SELECT id, 'customers' AS topic, CAST(id AS CHAR) AS event_key, 'customer' AS event_type,
JSON_OBJECT('version', version, 'id', id, 'name', name) AS payload FROM customers`,
	"sqlite": `SELECT id, 'customers' AS topic, CAST(id AS TEXT) AS event_key, 'customer' AS event_type,
json_object('version', version, 'id', id, 'name', name) AS payload FROM customers`,
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err, query)
}

// changes reads what waits in the outbox, in order.
func changes(t *testing.T, db dbtest.Database) []replica.Change {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), "SELECT payload, headers FROM outbox_events ORDER BY id")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var all []replica.Change
	for rows.Next() {
		var payload, headers []byte
		require.NoError(t, rows.Scan(&payload, &headers))
		h := map[string]string{}
		require.NoError(t, json.Unmarshal(headers, &h))
		c, err := replica.Decode(h, payload)
		require.NoError(t, err)
		all = append(all, c)
	}
	require.NoError(t, rows.Err())
	return all
}

func count(t *testing.T, db dbtest.Database, query string) (n int) {
	t.Helper()
	require.NoError(t, db.DB.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// Hazard split-chunk.
// A run is interrupted after a chunk; rows change, come and go on both sides of it; one
// row was deleted before it began, its event lost. Everything arrives backwards and twice.
func TestAReplicaThatABackfillMadeIsTheSource(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), version bigint NOT NULL)")
		exec(t, db.DB, "CREATE TABLE copies (id bigint PRIMARY KEY, name varchar(100))")
		for i := 1; i <= 100; i++ {
			exec(t, db.DB, fmt.Sprintf("INSERT INTO customers (id, name, version) VALUES (%d, 'c%d', 1)", i, i))
		}
		r, err := replica.New(
			db.Dialect, replica.Config{Table: "copies", Key: []string{"id"}, Columns: []string{"name"}},
		)
		require.NoError(t, err)
		apply(t, db, r, replica.Change{Version: 4, Values: map[string]any{"id": 999, "name": "deleted long ago"}})
		exec(t, db.DB, "UPDATE inbox_replica_rows SET applied_at = '2020-01-01T00:00:00.000000"+
			map[bool]string{true: "'", false: "Z'"}[db.Dialect == "mysql"])

		ctx, stop := context.WithCancel(t.Context())
		config := backfill.Config{Name: "customers", Query: query[string(db.Dialect)], Position: "id", Chunk: 30,
			Progress: func(backfill.Progress) { stop() }}
		cut, err := backfill.Run(ctx, db.DB, db.Dialect, config)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, int64(30), cut.Sent)

		exec(t, db.DB, "UPDATE customers SET name = 'new', version = 2 WHERE id IN (5, 95)")
		exec(t, db.DB, "DELETE FROM customers WHERE id IN (6, 96)")
		exec(t, db.DB, "INSERT INTO customers (id, name, version) VALUES (0, 'behind', 1)")
		live := []replica.Change{
			{Version: 2, Values: map[string]any{"id": 5, "name": "new"}},
			{Version: 2, Values: map[string]any{"id": 95, "name": "new"}},
			{Version: 2, Deleted: true, Values: map[string]any{"id": 6}},
			{Version: 2, Deleted: true, Values: map[string]any{"id": 96}},
			{Version: 1, Values: map[string]any{"id": 0, "name": "behind"}},
		}
		config.Progress = nil
		done, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
		require.NoError(t, err)
		require.True(t, done.Resumed)
		require.True(t, done.Finished)
		require.Equal(t, cut.RunID, done.RunID)
		require.Equal(t, int64(99), done.Sent, "30, and 69 of the other 70")

		apply(t, db, r, live...)
		sent := changes(t, db)
		require.Len(t, sent, 100, "each row once, and the marker")
		for i := range sent {
			apply(t, db, r, sent[len(sent)-1-i])
		}
		apply(t, db, r, sent...)
		tidied, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{})
		require.NoError(t, err)
		require.Equal(t, replica.Tidied{Removed: 1}, tidied)
		require.Equal(t, 99, count(t, db, "SELECT count(*) FROM copies"))
		require.Equal(
			t, 99,
			count(t, db, "SELECT count(*) FROM copies JOIN customers USING (id) WHERE copies.name = customers.name"),
		)

		again, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
		require.NoError(t, err)
		require.NotEqual(t, done.RunID, again.RunID, "a finished run is followed by a new one")
	})
}

func apply(t *testing.T, db dbtest.Database, r *replica.Replica, changes ...replica.Change) {
	t.Helper()
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = r.Apply(t.Context(), tx, changes...)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
}

// Hazard two-backfills.
// Two processes of one name: the second to come to a chunk is told, and sends nothing.
func TestTwoProcessesDoNotSendAChunkTwice(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), version bigint NOT NULL)")
	exec(t, db.DB, "INSERT INTO customers VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1)")
	config := backfill.Config{Name: "n", Query: query["sqlite"], Position: "id", Chunk: 1}
	inner := config
	var ran bool
	config.Progress = func(backfill.Progress) {
		if !ran {
			ran = true
			_, err := backfill.Run(t.Context(), db.DB, db.Dialect, inner)
			require.NoError(t, err)
		}
	}
	_, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
	require.ErrorIs(t, err, backfill.ErrOther)
	require.Equal(t, 4, count(t, db, "SELECT count(*) FROM outbox_events"), "three rows and a marker")
}
