package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Plan returns every cell of the database's plan of a statement.
func Plan(t testing.TB, d Database, statement string, args ...any) string {
	t.Helper()
	explain := db.For(d.Dialect, "EXPLAIN ", "EXPLAIN ", "EXPLAIN QUERY PLAN ")
	rows, err := d.DB.QueryContext(t.Context(), explain+statement, args...)
	require.NoError(t, err)
	return cells(t, rows)
}

// cells prints a query's rows, a line each.
func cells(t testing.TB, rows *sql.Rows) string {
	t.Helper()
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		require.NoError(t, rows.Scan(cells...))
		for _, cell := range cells {
			if text, ok := (*cell.(*any)).([]byte); ok {
				*cell.(*any) = string(text)
			}
			fmt.Fprintf(&plan, "%v ", *cell.(*any))
		}
		plan.WriteByte('\n')
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

// PreparedPlan explains a statement on PostgreSQL as a driver would have it planned: with the arguments known, or, if
// generic, for any arguments, as it is after five executions. types are those of the arguments.
func PreparedPlan(t testing.TB, pool *sql.DB, generic bool, types, statement string, args ...any) string {
	t.Helper()
	conn, err := pool.Conn(t.Context())
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
	return cells(t, rows)
}

// PlanRows is how many rows a table has while a plan is looked at. SQLite plans by rules alone here, and takes long
// to write under the race detector.
func PlanRows(d Database) int { return db.For(d.Dialect, 100_000, 100_000, 1_000) }

// Analyze makes the statistics of a table true.
func Analyze(t testing.TB, d Database, table string) {
	t.Helper()
	Exec(t, d.DB, db.For(d.Dialect, "ANALYZE "+table, "ANALYZE TABLE "+table, "ANALYZE"))
}

// WithEvents runs f while outbox_events has PlanRows rows, with statistics of three kinds: of these rows, of the empty
// table that it was before (as after a quiet night), and none at all.
func WithEvents(t *testing.T, fresh func(testing.TB) Database, f func(t *testing.T, d Database)) {
	withStatistics(t, fresh, db.Events, FillEvents, f)
}

// WithArchive is WithEvents for outbox_archive.
func WithArchive(t *testing.T, fresh func(testing.TB) Database, f func(t *testing.T, d Database)) {
	withStatistics(t, fresh, db.Archive, FillArchive, f)
}

func withStatistics(
	t *testing.T, fresh func(testing.TB) Database, table string, fill func(testing.TB, Database, int),
	f func(t *testing.T, d Database),
) {
	for _, kind := range []string{"true statistics", "statistics of an empty table", "no statistics"} {
		t.Run(kind, func(t *testing.T) {
			d := Migrate(t, fresh(t))
			switch d.Dialect {
			case db.PostgreSQL: // or autovacuum would mend them meanwhile
				Exec(t, d.DB, "ALTER TABLE "+table+" SET (autovacuum_enabled = false)")
			case db.MySQL:
				Exec(t, d.DB, "ALTER TABLE "+table+" STATS_AUTO_RECALC = 0")
			case db.SQLite: // does it on demand alone
			}
			if kind == "statistics of an empty table" {
				Analyze(t, d, table)
			}
			fill(t, d, PlanRows(d))
			if kind == "true statistics" {
				Analyze(t, d, table)
			}
			f(t, d)
		})
	}
}
