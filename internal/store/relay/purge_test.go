package relay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestAPurgeTakesTheOldestAndNoMoreThanItIsTold(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		dbtest.FillArchive(t, db, 5000) // from 5,000 s to 1 s ago
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

func TestAPurgeGoesByTheIndexOfTime(t *testing.T) {
	t.Parallel()
	ages := []time.Duration{time.Second, 5 * time.Hour, 24 * time.Hour, 1000 * time.Hour}
	t.Run("postgresql", func(t *testing.T) {
		dbtest.WithArchive(t, dbtest.PostgreSQL, func(t *testing.T, db dbtest.Database) {
			for _, age := range ages {
				plan := dbtest.PreparedPlan(
					t, db.DB, false, "int", newRelay(t, db).PurgeSQL(relay.OldArchived(age), 1000)+" AND $1 = $1", 1,
				)
				require.Contains(t, plan, "outbox_archive_delivered_at_idx", "%v\n%s", age, plan)
				require.Contains(t, plan, "outbox_archive_pkey", "%v\n%s", age, plan)
				require.NotContains(t, plan, "Seq Scan", "%v\n%s", age, plan)
			}
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		dbtest.WithArchive(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
			for _, age := range ages {
				plan := dbtest.Plan(t, db, newRelay(t, db).PurgeSQL(relay.OldArchived(age), 1000))
				require.Contains(t, plan, "range outbox_archive_delivered_at_idx", "%v\n%s", age, plan)
				require.NotContains(t, plan, "filesort", "%v\n%s", age, plan)
			}
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		dbtest.WithArchive(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
			plan := dbtest.Plan(t, db, newRelay(t, db).PurgeSQL(relay.OldArchived(time.Second), 1000))
			require.Contains(t, plan, "outbox_archive_delivered_at_idx", plan)
			require.NotContains(t, plan, "SCAN", plan)
		})
	})
}
