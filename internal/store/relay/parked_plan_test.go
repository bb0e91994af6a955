package relay_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// fillParked parks n rows of one key, the first of them failed, and n/10 rows with a key each.
func fillParked(t *testing.T, db dbtest.Database, n int) {
	t.Helper()
	const columns = "INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers, " +
		"created_at, state) "
	const id = "'0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d'"
	payload := "'" + strings.Repeat("x", 200) + "'"
	for _, key := range []string{"'k'", "%s"} {
		state := "CASE n WHEN 1 THEN 'failed' ELSE 'blocked' END"
		if key == "%s" {
			state, n = "'failed'", n/10
		}
		exec(t, db.DB, columns+map[sqldb.Dialect]string{
			sqldb.PostgreSQL: fmt.Sprintf(
				"SELECT n, %s, 'orders', %s, '', %s, '{}', now(), %s FROM generate_series(1, %d) n", id,
				strings.ReplaceAll(key, "%s", "n::text"), payload, state, n,
			),
			sqldb.MySQL: fmt.Sprintf(
				"SELECT n, %s, 'orders', %s, '', %s, '{}', now(), %s FROM (SELECT seq AS n FROM seq_1_to_%d) AS s", id,
				strings.ReplaceAll(key, "%s", "n"), payload, state, n,
			),
			sqldb.SQLite: fmt.Sprintf("SELECT n, %s, 'orders', %s, '', %s, '{}', '2026-01-01T00:00:00.000000Z', %s "+
				"FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s)",
				id, strings.ReplaceAll(key, "%s", "CAST(n AS TEXT)"), payload, state, n),
		}[db.Dialect])
	}
}

// withParkedStatistics does what dbtest.WithEvents does, for outbox_parked.
func withParkedStatistics(
	t *testing.T, fresh func(testing.TB) dbtest.Database, f func(t *testing.T, db dbtest.Database),
) {
	dbtest.WithEvents(t, fresh, func(t *testing.T, db dbtest.Database) {
		switch db.Dialect {
		case sqldb.PostgreSQL:
			exec(t, db.DB, "ALTER TABLE outbox_parked SET (autovacuum_enabled = false)")
		case sqldb.MySQL:
			exec(t, db.DB, "ALTER TABLE outbox_parked STATS_AUTO_RECALC = 0")
		}
		if strings.HasSuffix(t.Name(), "empty_table") {
			dbtest.Analyze(t, db, sqldb.Parked)
		}
		fillParked(t, db, dbtest.PlanRows(db))
		if strings.HasSuffix(t.Name(), "true_statistics") {
			dbtest.Analyze(t, db, sqldb.Parked)
		}
		f(t, db)
	})
}

// With any statistics, each statement finds its rows by its list or by an index, because 100,000 blocked rows
// of one key must not slow down the others.
func TestPostgreSQLFindsParkedRowsByAnIndex(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			withParkedStatistics(t, fresh, func(t *testing.T, db dbtest.Database) {
				for what, s := range newRelay(t, db).ParkedSQL() {
					for _, generic := range []bool{false, true} {
						plan := dbtest.PreparedPlan(t, db.DB, generic, s.Types, s.SQL, s.Args...)
						require.NotContains(t, plan, "Seq Scan on outbox", "%s, generic %t:\n%s", what, generic, plan)
						require.Contains(t, plan, "Index", "%s, generic %t:\n%s", what, generic, plan)
					}
				}
			})
		})
	}
}

// scans matches a line of MariaDB's EXPLAIN that reads a whole table or index.
var scans = regexp.MustCompile(`^\d+ [A-Z ]+ \S+ (ALL|index) `)

func TestMariaDBFindsParkedRowsByAnIndex(t *testing.T) {
	t.Parallel()
	withParkedStatistics(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
		for what, s := range newRelay(t, db).ParkedSQL() {
			plan := dbtest.Plan(t, db, strings.TrimPrefix(s.SQL, relay.MySQLRowWait), s.Args...)
			require.Regexp(t, "outbox_parked_|PRIMARY PRIMARY", plan, what)
			for line := range strings.Lines(plan) {
				if scans.MatchString(line) {
					require.Regexp(t, "Table function|<derived", line, "%s:\n%s", what, plan)
				}
			}
		}
	})
}

func TestSQLiteFindsParkedRowsByAnIndex(t *testing.T) {
	withParkedStatistics(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
		for what, s := range newRelay(t, db).ParkedSQL() {
			plan := dbtest.Plan(t, db, s.SQL, s.Args...)
			for line := range strings.Lines(plan) {
				if strings.Contains(line, "SCAN") {
					require.Regexp(
						t, "VIRTUAL TABLE|CONSTANT ROW|outbox_parked_asked_idx|SCAN part|SCAN \\(?subquery", line,
						"%s:\n%s", what, plan,
					)
				}
			}
		}
	})
}
