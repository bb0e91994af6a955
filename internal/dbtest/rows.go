package dbtest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Exec runs a statement.
func Exec(t testing.TB, pool *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := pool.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// Begin begins a transaction, which is rolled back when the test ends.
func Begin(t testing.TB, pool *sql.DB, opts *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// FillEvents writes n rows into outbox_events at once.
func FillEvents(t testing.TB, d Database, n int) {
	t.Helper()
	payload := "'" + strings.Repeat("x", 200) + "'"
	Exec(t, d.DB, db.For(d.Dialect,
		fmt.Sprintf("INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', n::text, %s "+
			"FROM generate_series(1, %d) n", payload, n),
		fmt.Sprintf("INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', seq, %s "+
			"FROM seq_1_to_%d", payload, n),
		fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', CAST(n AS TEXT), %s FROM s`, n, payload)))
}

// FillArchive writes n rows into outbox_archive at once, delivered a second apart: the first n seconds ago.
func FillArchive(t testing.TB, d Database, n int) {
	t.Helper()
	columns := "INSERT INTO outbox_archive (id, event_id, topic, event_key, event_type, payload, headers, " +
		"created_at, delivered_at) "
	Exec(t, d.DB, columns+db.For(d.Dialect,
		fmt.Sprintf(`SELECT n, gen_random_uuid(), 'orders', (n %% 1000)::text, '',
repeat('x', 200)::bytea, '{}', now(), now() - (%d - n) * interval '1 second'
FROM generate_series(1, %d) n`, n, n),
		fmt.Sprintf(`SELECT seq, uuid(), 'orders', seq %% 1000, '', repeat('x', 200), '{}',
UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL (%d - seq) SECOND
FROM seq_1_to_%d`, n, n),
		fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
SELECT n, printf('%%08x-0000-4000-8000-000000000000', n), 'orders', CAST(n %% 1000 AS TEXT), '',
CAST(printf('%%200d', n) AS BLOB), '{}', strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now') || '000Z',
strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now', (n - %d) || ' seconds') || '000Z' FROM s`, n, n)))
}
