package relay_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/outbox"
)

// withSchedule runs f with 100,000 scheduled rows, of which the first 2,000 are due. It does so with
// statistics of these rows, and with those of the empty table before.
func withSchedule(t *testing.T, fresh func(testing.TB) dbtest.Database, f func(t *testing.T, db dbtest.Database)) {
	for _, kind := range []string{"true statistics", "statistics of an empty table"} {
		t.Run(kind, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			switch db.Dialect {
			case sqldb.PostgreSQL:
				exec(t, db.DB, "ALTER TABLE outbox_scheduled SET (autovacuum_enabled = false)")
			case sqldb.MySQL:
				exec(t, db.DB, "ALTER TABLE outbox_scheduled STATS_AUTO_RECALC = 0")
			}
			if kind == "statistics of an empty table" {
				dbtest.Analyze(t, db, sqldb.Scheduled)
			}
			rows := dbtest.PlanRows(db)
			exec(t, db.DB, map[sqldb.Dialect]string{
				sqldb.PostgreSQL: fmt.Sprintf(`INSERT INTO outbox_scheduled (topic, event_key, payload, deliver_at)
SELECT 'orders', n::text, repeat('x', 200)::bytea, now() + (n - 2000) * interval '1 hour'
FROM generate_series(1, %d) n`, rows),
				sqldb.MySQL: fmt.Sprintf(`INSERT INTO outbox_scheduled (topic, event_key, payload, deliver_at)
SELECT 'orders', seq, repeat('x', 200), utc_timestamp(6) + INTERVAL (CAST(seq AS SIGNED) - 2000) MINUTE
FROM seq_1_to_%d`, rows),
				sqldb.SQLite: fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
INSERT INTO outbox_scheduled (topic, event_key, payload, deliver_at)
SELECT 'orders', CAST(n AS TEXT), 'x', strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now', (n - 200) || ' minutes') || '000Z'
FROM s`, rows),
			}[db.Dialect])
			if kind == "true statistics" {
				dbtest.Analyze(t, db, sqldb.Scheduled)
			}
			f(t, db)
		})
	}
}

func TestPostgreSQLLooksForDueEventsByTheIndex(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			withSchedule(t, fresh, func(t *testing.T, db dbtest.Database) {
				r, ob := newRelay(t, db), newOutbox(t, db)
				for _, generic := range []bool{false, true} {
					due, _ := r.DueSQL(1000, false)
					behind, args := r.DueSQL(1000, true)
					lock, rows := r.LockDueSQL(500)
					for plan, index := range map[string]string{
						dbtest.PreparedPlan(
							t, db.DB, generic, "int", r.UntilDueSQL()+" -- $1", 1,
						): "outbox_scheduled_due_idx",
						dbtest.PreparedPlan(
							t, db.DB, generic, "int", due+" -- $1", 1,
						): "outbox_scheduled_due_idx",
						dbtest.PreparedPlan(
							t, db.DB, generic, "text, text, text, text", behind, args...,
						): "outbox_scheduled_due_idx",
						dbtest.PreparedPlan(t, db.DB, generic, "text", lock, rows...): "outbox_scheduled_",
						dbtest.PreparedPlan(
							t, db.DB, generic, "int", cancelSQL(t, ob, 20)+" -- $1", 1,
						): "outbox_scheduled_event_id_key",
					} {
						require.Contains(t, plan, index, plan)
						require.NotContains(t, plan, "Seq Scan", plan)
						if index == "outbox_scheduled_due_idx" && strings.HasSuffix(t.Name(), "true_statistics") {
							require.NotContains(t, plan, "Sort", plan)
						}
					}
					statements, rows := r.MoveSQL(500)
					for _, statement := range statements {
						plan := dbtest.PreparedPlan(t, db.DB, generic, "text", statement, rows...)
						require.NotContains(t, plan, "Seq Scan", plan)
					}
				}
			})
		})
	}
}

func TestMariaDBLooksForDueEventsByTheIndex(t *testing.T) {
	t.Parallel()
	withSchedule(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
		r, ob := newRelay(t, db), newOutbox(t, db)
		due, _ := r.DueSQL(1000, false)
		behind, args := r.DueSQL(1000, true)
		lock, _ := r.LockDueSQL(500)
		for plan, how := range map[string]string{
			dbtest.Plan(t, db, r.UntilDueSQL()):      " index <nil> outbox_scheduled_due_idx ",
			dbtest.Plan(t, db, due):                  " range outbox_scheduled_due_idx ",
			dbtest.Plan(t, db, behind, args...):      " range outbox_scheduled_due_idx ",
			dbtest.Plan(t, db, lock):                 " s eq_ref outbox_scheduled_event_id_key ",
			dbtest.Plan(t, db, cancelSQL(t, ob, 20)): " s eq_ref outbox_scheduled_event_id_key ",
		} {
			require.Contains(t, plan, how, plan)
			require.NotContains(t, plan, "filesort", plan)
		}
		statements, _ := r.MoveSQL(500)
		for _, statement := range statements {
			require.Contains(t, dbtest.Plan(t, db, statement), " s eq_ref PRIMARY ")
		}
	})
}

func TestSQLiteLooksForDueEventsByTheIndex(t *testing.T) {
	withSchedule(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
		r, ob := newRelay(t, db), newOutbox(t, db)
		due, _ := r.DueSQL(1000, false)
		lock, _ := r.LockDueSQL(500)
		statements, _ := r.MoveSQL(500)
		for _, statement := range append(statements, r.UntilDueSQL(), due, lock, cancelSQL(t, ob, 20)) {
			plan := dbtest.Plan(t, db, statement, make([]any, strings.Count(statement, "?"))...)
			require.Contains(t, plan, "USING", plan)
			require.NotContains(
				t, strings.ReplaceAll(plan, "SCAN outbox_scheduled USING COVERING INDEX outbox_scheduled_due_idx", ""),
				"SCAN outbox_scheduled", plan,
			)
		}
	})
}

// sent keeps the last statement that it was given to run.
type sent struct{ query string }

func (s *sent) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	s.query = query
	return driver.RowsAffected(0), nil
}

// cancelSQL returns the statement of Cancel for n ids.
func cancelSQL(t *testing.T, ob *outbox.Store, n int) string {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
	}
	var s sent
	_, err := ob.Cancel(t.Context(), &s, ids)
	require.NoError(t, err)
	return s.query
}
