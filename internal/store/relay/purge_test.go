package relay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

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

func TestAPurgeTakesTheOldestAndNoMoreThanItIsTold(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		fillArchive(t, db, 5000) // from 5,000 s to 1 s ago
		count := func() (n int64) {
			require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM outbox_archive").Scan(&n))
			return n
		}
		old := relay.OldArchived(3000 * time.Second)
		n, err := r.CountOld(t.Context(), old)
		require.NoError(t, err)
		require.InDelta(t, 2000, n, 300, "seconds go by while the test runs")

		n, err = r.Purge(t.Context(), old, 700)
		require.NoError(t, err)
		require.EqualValues(t, 700, n)
		var first int64
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT MIN(id) FROM outbox_archive").Scan(&first))
		require.EqualValues(t, 701, first, "the oldest go first")
		n, err = r.Purge(t.Context(), old, 10_000)
		require.NoError(t, err)
		require.InDelta(t, 1300, n, 300)
		require.Equal(t, 4300-n, count())
		n, err = r.Purge(t.Context(), relay.OldArchived(24*time.Hour), 10_000)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestNotesOfDropsArePurgedToo(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		ago := map[sqldb.Dialect]string{
			sqldb.PostgreSQL: "now() - interval '2 hours'", sqldb.MySQL: "UTC_TIMESTAMP(6) - INTERVAL 2 HOUR",
			sqldb.SQLite: "strftime('%Y-%m-%dT%H:%M:%f', 'now', '-2 hours') || '000Z'",
		}[db.Dialect]
		const event = "'018f3c1e-8f2a-7000-8000-000000000001'"
		exec(
			t, db.DB,
			"INSERT INTO outbox_drops (id, event_id, topic, dropped_at) VALUES (1, "+event+", 'orders', "+ago+")",
		)
		exec(t, db.DB, "INSERT INTO outbox_drops (id, event_id, topic) VALUES (2, "+event+", 'orders')")
		n, err := r.CountOld(t.Context(), relay.OldDrops(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		n, err = r.Purge(t.Context(), relay.OldDrops(time.Hour), 1000)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		var left int64
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT id FROM outbox_drops").Scan(&left))
		require.EqualValues(t, 2, left)
	})
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

func TestAPurgeGoesByTheIndexOfTime(t *testing.T) {
	t.Parallel()
	ages := []time.Duration{time.Second, 5 * time.Hour, 24 * time.Hour, 1000 * time.Hour}
	t.Run("postgresql", func(t *testing.T) {
		withArchive(t, dbtest.PostgreSQL, func(t *testing.T, db dbtest.Database) {
			for _, age := range ages {
				plan := planOn(
					t, db.DB, false, "int", newRelay(t, db).PurgeSQL(relay.OldArchived(age), 1000)+" AND $1 = $1", 1,
				)
				require.Contains(t, plan, "outbox_archive_delivered_at_idx", "%v\n%s", age, plan)
				require.Contains(t, plan, "outbox_archive_pkey", "%v\n%s", age, plan)
				require.NotContains(t, plan, "Seq Scan", "%v\n%s", age, plan)
			}
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		withArchive(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
			for _, age := range ages {
				plan := explained(t, db, "EXPLAIN "+newRelay(t, db).PurgeSQL(relay.OldArchived(age), 1000), nil)
				require.Contains(t, plan, "range outbox_archive_delivered_at_idx", "%v\n%s", age, plan)
				require.NotContains(t, plan, "filesort", "%v\n%s", age, plan)
			}
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		withArchive(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
			plan := explained(
				t, db, "EXPLAIN QUERY PLAN "+newRelay(t, db).PurgeSQL(relay.OldArchived(time.Second), 1000), nil,
			)
			require.Contains(t, plan, "outbox_archive_delivered_at_idx", plan)
			require.NotContains(t, plan, "SCAN", plan)
		})
	})
}
