package inbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/inbox"
)

// On 100,000 rows of two consumers, a tenth of them expired.
func TestTheExpiredRowsAreReadPieceByPieceWithoutASort(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, d dbtest.Database) {
		fillInbox(t, d)
		in, err := inbox.New(db.Names{Dialect: d.Dialect})
		require.NoError(t, err)

		args := []any{"billing", 3600e6, "(128,0)", "(256,0)"}
		want, never := "Tid Range Scan", "Sort"
		switch d.Dialect {
		case db.MySQL:
			time := "2001-01-01 00:00:00.000000"
			args = []any{[]byte("billing"), int64(3600e6), time, time, []byte("m"), 1000}
			want, never = "inbox_events_processed_at_idx", "filesort"
		case db.SQLite:
			args = []any{"billing", "-3600 seconds", "2001", "2001", "m", 1000}
			want, never = "USING INDEX inbox_events_processed_at_idx (consumer=? AND processed_at>? "+
				"AND processed_at<?)", "TEMP B-TREE FOR ORDER BY"
		}
		plan := dbtest.Plan(t, d, in.ExpiredSQL(), args...)
		require.Contains(t, plan, want)
		require.NotContains(t, plan, never)

		found, walks := 0, 0
		var at inbox.Cursor
		for !at.Done() {
			var rows []inbox.Expired
			rows, at, err = in.ExpiredMessages(t.Context(), d.DB, "billing", time.Hour, at, 1000)
			require.NoError(t, err)
			require.Less(t, len(rows), 20_000, "a piece is bounded")
			found += len(rows)
			walks++
		}
		require.Equal(t, 5_000, found)
		require.Greater(t, walks, 4)
	})
}

func fillInbox(t *testing.T, d dbtest.Database) {
	t.Helper()
	switch d.Dialect {
	case db.PostgreSQL:
		exec(t, d.DB, `INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE n % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, gen_random_uuid()::text,
now() - CASE WHEN n < 10000 THEN interval '2 hours' ELSE interval '0' END
			FROM generate_series(0, 99999) n`)
		exec(t, d.DB, "ANALYZE inbox_events")
	case db.MySQL:
		exec(t, d.DB, `INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE seq % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, uuid(),
utc_timestamp(6) - INTERVAL CASE WHEN seq < 10000 THEN 2 ELSE 0 END HOUR
			FROM seq_0_to_99999`)
		exec(t, d.DB, "ANALYZE TABLE inbox_events")
	case db.SQLite:
		exec(t, d.DB, `WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s
WHERE n < 19999) -- it is slow under the race detector
			INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE n % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, lower(hex(randomblob(16))),
			strftime('%Y-%m-%dT%H:%M:%f', 'now', CASE WHEN n < 10000 THEN '-2 hours' ELSE '-0 hours' END) || '000Z'
FROM s`)
		exec(t, d.DB, "ANALYZE")
	}
}
