package source_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func newRelay(t *testing.T, db dbtest.Database) *relay.Store {
	t.Helper()
	r, err := relay.New(db.DB, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
	require.NoError(t, err)
	return r
}

// keyed is a topic and a key; an empty key is none.
type keyed struct{ topic, key string }

// insertKeyed writes an event for each, and returns them in order.
func insertKeyed(t *testing.T, db dbtest.Database, events ...keyed) []relay.Event {
	t.Helper()
	ob, err := outbox.New(sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	rows := make([]outbox.EventRow, len(events))
	for i, k := range events {
		rows[i] = outbox.EventRow{
			EventID: uuid.New(), Topic: k.topic, Key: k.key, Type: "order.placed",
			Payload: fmt.Appendf(nil, "payload %d", i), Headers: `{"n": "1"}`,
		}
	}
	require.NoError(t, ob.InsertEvents(t.Context(), db.DB, rows))
	all := eventsAbove(t, newRelay(t, db), 0)
	return all[len(all)-len(events):]
}

func claim(t *testing.T, r *relay.Store, ttl time.Duration) (relay.Lease, bool) {
	t.Helper()
	l, claimed, err := r.Claim(t.Context(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: ttl})
	require.NoError(t, err)
	return l, claimed
}

func mustClaim(t *testing.T, r *relay.Store) relay.Lease {
	t.Helper()
	l, claimed := claim(t, r, time.Hour)
	require.True(t, claimed)
	return l
}

// expire makes the lease end in the past, which no claim and no renewal would.
func expire(t *testing.T, db dbtest.Database) {
	t.Helper()
	exec(t, db.DB, map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "UPDATE outbox_leases SET expires_at = clock_timestamp() - interval '1 millisecond'",
		sqldb.MySQL:      "UPDATE outbox_leases SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1000 MICROSECOND",
		sqldb.SQLite: "UPDATE outbox_leases SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '-0.002 " +
			"seconds') || '000Z'",
	}[db.Dialect])
}

// parkAll parks events of the same key: the first as failed, the others blocked.
func parkAll(t *testing.T, r *relay.Store, l relay.Lease, events ...relay.Event) {
	t.Helper()
	var rows []relay.Parking
	for i, e := range events {
		p := relay.Parking{Event: e, State: sqldb.ParkedBlocked}
		if i == 0 {
			p.State, p.Error = sqldb.ParkedFailed, "too large"
		}
		rows = append(rows, p)
	}
	n, err := r.Park(t.Context(), l, rows)
	require.NoError(t, err)
	require.EqualValues(t, len(events), n)
}

func parkedRows(t *testing.T, db dbtest.Database) (all []parkedState) {
	t.Helper()
	rows, err := db.DB.Query("SELECT seq, id, event_id, state, attempts, overtaken FROM outbox_parked ORDER BY seq")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var p parkedState
		require.NoError(t, rows.Scan(&p.seq, &p.event.ID, &p.event.EventID, &p.state, &p.attempts, &p.overtaken))
		all = append(all, p)
	}
	require.NoError(t, rows.Err())
	return all
}

// setState is what an operator's command does.
func setState(t *testing.T, db dbtest.Database, state string, rows ...parkedState) {
	t.Helper()
	for _, p := range rows {
		exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET state = '%s' WHERE seq = %d", state, p.seq))
	}
}

func eventsAbove(t *testing.T, r *relay.Store, head int64) (events []relay.Event) {
	t.Helper()
	_, err := r.Read(t.Context(), relay.ReadQuery{Head: head, Limit: 1 << 20}, func(row *relay.Row) bool {
		events = append(events, relay.Event{ID: row.ID, EventID: row.EventID})
		return true
	})
	require.NoError(t, err)
	return events
}

// fill writes n rows at once.
func fill(t *testing.T, db dbtest.Database, n int) {
	t.Helper()
	payload := "'" + strings.Repeat("x", 200) + "'"
	exec(t, db.DB, map[sqldb.Dialect]string{
		sqldb.PostgreSQL: fmt.Sprintf("INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', "+
			"n::text, %s FROM generate_series(1, %d) n", payload, n),
		sqldb.MySQL: fmt.Sprintf(
			"INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', seq, %s FROM seq_1_to_%d", payload,
			n,
		),
		sqldb.SQLite: fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'orders', CAST(n AS TEXT), %s FROM s`, n, payload),
	}[db.Dialect])
}

func beat(t *testing.T, r *relay.Store, m relay.Member) (ids []uuid.UUID) {
	t.Helper()
	live, err := r.Heartbeat(t.Context(), m, time.Minute, false)
	require.NoError(t, err)
	for _, other := range live {
		ids = append(ids, other.ID)
	}
	return ids
}

// shift moves when a process was last seen, by seconds.
func shift(t *testing.T, db dbtest.Database, id uuid.UUID, seconds string) {
	t.Helper()
	exec(t, db.DB, map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "UPDATE outbox_relays SET seen_at = clock_timestamp() + interval '" + seconds + " seconds'",
		sqldb.MySQL:      "UPDATE outbox_relays SET seen_at = UTC_TIMESTAMP(6) + INTERVAL " + seconds + " SECOND",
		sqldb.SQLite: "UPDATE outbox_relays SET seen_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '" + seconds +
			" seconds') || '000Z'",
	}[db.Dialect]+" WHERE relay_id = '"+id.String()+"'")
}

// withArchive is withStatistics for the archive.
func withArchive(t *testing.T, fresh func(testing.TB) dbtest.Database, f func(t *testing.T, db dbtest.Database)) {
	for _, kind := range []string{"true statistics", "statistics of an empty table", "no statistics"} {
		t.Run(kind, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			analyze := map[sqldb.Dialect]string{
				sqldb.PostgreSQL: "ANALYZE outbox_archive", sqldb.MySQL: "ANALYZE TABLE outbox_archive",
				sqldb.SQLite: "ANALYZE",
			}[db.Dialect]
			switch db.Dialect {
			case sqldb.PostgreSQL:
				exec(t, db.DB, "ALTER TABLE outbox_archive SET (autovacuum_enabled = false)")
			case sqldb.MySQL:
				exec(t, db.DB, "ALTER TABLE outbox_archive STATS_AUTO_RECALC = 0")
			}
			if kind == "statistics of an empty table" {
				exec(t, db.DB, analyze)
			}
			fillArchive(t, db, planRows(db))
			if kind == "true statistics" {
				exec(t, db.DB, analyze)
			}
			f(t, db)
		})
	}
}

// fillArchive writes n rows at once, delivered a second apart: the first n seconds ago.
func fillArchive(t *testing.T, db dbtest.Database, n int) {
	t.Helper()
	columns := "INSERT INTO outbox_archive (id, event_id, topic, event_key, event_type, payload, headers, " +
		"created_at, delivered_at) "
	exec(t, db.DB, map[sqldb.Dialect]string{
		sqldb.PostgreSQL: columns + fmt.Sprintf(`SELECT n, gen_random_uuid(), 'orders', (n %% 1000)::text, '',
repeat('x', 200)::bytea, '{}', now(), now() - (%d - n) * interval '1 second'
FROM generate_series(1, %d) n`, n, n),
		sqldb.MySQL: columns + fmt.Sprintf(`SELECT seq, uuid(), 'orders', seq %% 1000, '', repeat('x', 200), '{}',
UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL (%d - seq) SECOND
FROM seq_1_to_%d`, n, n),
		sqldb.SQLite: columns + fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s
WHERE n < %d)
SELECT n, printf('%%08x-0000-4000-8000-000000000000', n), 'orders', CAST(n %% 1000 AS TEXT), '', CAST(printf('%%200d',
n) AS BLOB), '{}',
strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now') || '000Z', strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now',
(n - %d) || ' seconds') || '000Z' FROM s`, n, n),
	}[db.Dialect])
}

// planRows are the rows of a plan test. SQLite plans by rules alone here, and takes
// long to write under the race detector.
func planRows(db dbtest.Database) int {
	if db.Dialect == sqldb.SQLite {
		return 1_000
	}
	return 100_000
}

// planOn explains on PostgreSQL as a driver would have it planned: with the arguments
// known, or for any arguments, as it is after five executions.
func planOn(t *testing.T, db *sql.DB, generic bool, types, statement string, args ...any) string {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	run := func(query string) {
		_, err := conn.ExecContext(context.Background(), query)
		require.NoError(t, err, query)
	}
	mode := map[bool]string{true: "force_generic_plan", false: "force_custom_plan"}[generic]
	run("SET plan_cache_mode = " + mode)
	if types != "" {
		types = "(" + types + ")"
	}
	run("PREPARE it " + types + " AS " + statement)
	defer run("DEALLOCATE it")
	var literals []string
	for _, a := range args {
		literals = append(literals, fmt.Sprintf("'%v'", a))
	}
	given := ""
	if len(args) > 0 {
		given = " (" + strings.Join(literals, ", ") + ")"
	}
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN EXECUTE it"+given)
	require.NoError(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

func delivered(e relay.Event) relay.Delivered {
	return relay.Delivered{Event: e, Partition: int32(e.ID % 8), Offset: 1<<40 + e.ID, Placed: true}
}

// parkedState is what the tests look at of a parked row.
type parkedState struct {
	seq       int64
	event     relay.Event
	state     string
	attempts  int
	overtaken bool
}

func sourceOf(t *testing.T, db dbtest.Database) *source.Store {
	t.Helper()
	s, err := source.New(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return s
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}
