package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

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

var analyze = map[sqldb.Dialect]string{
	sqldb.PostgreSQL: "ANALYZE outbox_events", sqldb.MySQL: "ANALYZE TABLE outbox_events", sqldb.SQLite: "ANALYZE",
}

// planRows are the rows of a plan test. SQLite plans by rules alone here, and takes
// long to write under the race detector.
func planRows(db dbtest.Database) int {
	if db.Dialect == sqldb.SQLite {
		return 1_000
	}
	return 100_000
}

// withStatistics runs f on 100,000 rows, with statistics of three kinds: of these rows,
// of the empty table that it was before (as after a quiet night), and none at all.
func withStatistics(t *testing.T, fresh func(testing.TB) dbtest.Database, f func(t *testing.T, db dbtest.Database)) {
	for _, kind := range []string{"true statistics", "statistics of an empty table", "no statistics"} {
		t.Run(kind, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			switch db.Dialect {
			case sqldb.PostgreSQL: // or autovacuum would mend them meanwhile
				exec(t, db.DB, "ALTER TABLE outbox_events SET (autovacuum_enabled = false)")
			case sqldb.MySQL:
				exec(t, db.DB, "ALTER TABLE outbox_events STATS_AUTO_RECALC = 0")
			}
			if kind == "statistics of an empty table" {
				exec(t, db.DB, analyze[db.Dialect])
			}
			fill(t, db, planRows(db))
			if kind == "true statistics" {
				exec(t, db.DB, analyze[db.Dialect])
			}
			f(t, db)
		})
	}
}

// someGaps are as many as the relay names in one read, in the lower half of the ids.
func someGaps() (gaps []relay.Range) {
	for i := range int64(512) {
		gaps = append(gaps, relay.Range{Lo: 10 + 90*i, Hi: 10 + 90*i + i%3})
	}
	return gaps
}

func someEvents(t *testing.T, r *relay.Store, n int) []relay.Event {
	t.Helper()
	return eventsAbove(t, r, 100_000-int64(n))
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

func TestPostgreSQLReadsAndDeletesByTheIndex(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			withStatistics(t, fresh, func(t *testing.T, db dbtest.Database) {
				for _, generic := range []bool{false, true} {
					t.Run(fmt.Sprint("generic ", generic), func(t *testing.T) { postgresPlans(t, db, generic) })
				}
			})
		})
	}
}

func postgresPlans(t *testing.T, db dbtest.Database, generic bool) {
	r := newRelay(t, db)
	for _, head := range []int64{0, 50_000, 99_990} {
		q := relay.ReadQuery{Head: head, Limit: 2048}
		statement, args := r.ReadSQL(q)
		plan := planOn(t, db.DB, generic, "int, bigint", statement, args...)
		require.Contains(t, plan, "Index Scan using outbox_events_pkey", "head %d", head)
		require.NotContains(t, plan, "Seq Scan on outbox_events", "head %d", head)
		require.NotContains(t, plan, "Sort", "head %d:\n%s", head, plan)
	}

	q := relay.ReadQuery{Head: 50_000, Limit: 4096, Gaps: someGaps()}
	statement, args := r.ReadSQL(q)
	plan := planOn(t, db.DB, generic, "int, bigint, text, text, text", statement, args...)
	require.Equal(t, 2, strings.Count(plan, "outbox_events_pkey"), plan)
	require.NotContains(t, plan, "Seq Scan on outbox_events", plan)
	// The parts follow one another. What the gaps hold may be sorted (they are nearly
	// empty), and without statistics a gap may be a bitmap; the tail never.
	tail := plan[strings.LastIndex(plan, "Limit"):]
	require.Contains(t, tail, "Index Scan using outbox_events_pkey", plan)
	require.NotContains(t, tail, "Sort", plan)
	require.NotContains(t, plan, "Sort Key: (0", "the whole is not sorted:\n%s", plan)

	l := mustClaim(t, r)
	defer func() { require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil)) }()
	for _, n := range []int{1, 500, 4000} {
		if n > 500 && !generic {
			continue // so large a part of the table that a scan of it is the better plan
		}
		var ids, eventIDs []string
		for _, e := range someEvents(t, r, n) {
			ids, eventIDs = append(ids, fmt.Sprint(e.ID)), append(eventIDs, e.EventID.String())
		}
		plan = planOn(t, db.DB, generic, "text, text, text, bigint, text", r.DeleteEventsSQL(),
			"{"+strings.Join(ids, ",")+"}", "{"+strings.Join(eventIDs, ",")+"}", l.Owner, l.Epoch, l.Server)
		require.Contains(t, plan, "outbox_events_pkey", "%d events:\n%s", n, plan)
		require.NotContains(t, plan, "Seq Scan on outbox_events", "%d events:\n%s", n, plan)
	}
	plan = planOn(t, db.DB, generic, "bigint, bigint, text, text, bigint, text", r.DeleteRunSQL(),
		90_001, 100_000, someEvents(t, r, 1)[0].EventID, l.Owner, l.Epoch, l.Server)
	require.Contains(t, plan, "outbox_events_pkey", plan)
	require.NotContains(t, plan, "Seq Scan on outbox_events", plan)
}

func TestMariaDBReadsAndDeletesByThePrimaryKey(t *testing.T) {
	withStatistics(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		for _, q := range []relay.ReadQuery{
			{Limit: 2048}, {Head: 50_000, Limit: 2048}, {Head: 99_990, Limit: 2048},
			{Head: 50_000, Limit: 4096, Gaps: someGaps()},
			{Head: 50_000, Limit: 4096, Gaps: someGaps(), GapsOnly: true},
		} {
			statement, args := r.ReadSQL(q)
			plan := explained(t, db, "EXPLAIN "+statement, args)
			reads := 0
			for line := range strings.Lines(plan) {
				if strings.Contains(line, "outbox_events") {
					reads++
					require.Contains(t, line, " range PRIMARY PRIMARY ", plan)
					require.NotContains(t, line, "filesort", plan)
				}
			}
			require.Positive(t, reads, plan)
		}

		l := mustClaim(t, r)
		plan := explained(
			t, db, "EXPLAIN "+r.DeleteEventsSQL(),
			[]any{`[[5, "` + l.Owner.String() + `"]]`, l.Owner.String(), l.Epoch, l.Server},
		)
		require.Contains(t, plan, " e eq_ref PRIMARY PRIMARY ", plan)
		last := someEvents(t, r, 1)[0]
		plan = explained(
			t, db, "EXPLAIN "+r.DeleteRunSQL(),
			[]any{90_001, last.ID, last.ID, last.EventID.String(), l.Owner.String(), l.Epoch, l.Server, 10_000},
		)
		require.Contains(t, plan, " range PRIMARY PRIMARY ", plan)
		require.NotContains(t, plan, " ALL ", plan)
	})
}

func TestSQLiteReadsByTheRowID(t *testing.T) {
	withStatistics(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		statement, args := r.ReadSQL(relay.ReadQuery{Head: 50_000, Limit: 2048, Gaps: someGaps()})
		plan := explained(t, db, "EXPLAIN QUERY PLAN "+statement, args)
		require.Equal(t, 2, strings.Count(plan, "USING INTEGER PRIMARY KEY"), plan)
		require.NotContains(t, plan, "SCAN e", plan)
		require.NotContains(t, plan, "SCAN outbox_events", plan)
		for _, statement := range []string{r.DeleteRunSQL(), r.DeleteEventsSQL()} {
			plan := explained(t, db, "EXPLAIN QUERY PLAN "+statement, make([]any, strings.Count(statement, "?")))
			require.NotContains(t, plan, "SCAN outbox_events", plan)
			require.NotContains(t, plan, "SCAN e", plan)
		}
	})
}
