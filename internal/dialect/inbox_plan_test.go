package dialect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// On 100,000 rows of two consumers, a tenth of them expired.
func TestTheExpiredRowsAreReadPieceByPieceWithoutASort(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		fillInbox(t, db)
		in, err := dialect.NewInbox(dialect.Names{Dialect: db.Dialect})
		require.NoError(t, err)

		explain, args := "EXPLAIN ", []any{"billing", 3600e6, "(128,0)", "(256,0)"}
		want, never := "Tid Range Scan", "Sort"
		switch db.Dialect {
		case dialect.MySQL:
			time := "2001-01-01 00:00:00.000000"
			args = []any{[]byte("billing"), int64(3600e6), time, time, []byte("m"), 1000}
			want, never = "inbox_events_processed_at_idx", "filesort"
		case dialect.SQLite:
			explain, args = "EXPLAIN QUERY PLAN ", []any{"billing", "-3600 seconds", "2001", "2001", "m", 1000}
			want, never = "USING INDEX inbox_events_processed_at_idx (consumer=? AND processed_at>? AND processed_at<?)", "TEMP B-TREE FOR ORDER BY"
		}
		plan := explained(t, db, explain+in.ExpiredSQL(), args)
		require.Contains(t, plan, want)
		require.NotContains(t, plan, never)

		found, walks := 0, 0
		var at dialect.InboxCursor
		for !at.Done() {
			var rows []dialect.ExpiredMessage
			rows, at, err = in.ExpiredMessages(t.Context(), db.DB, "billing", time.Hour, at, 1000)
			require.NoError(t, err)
			require.Less(t, len(rows), 20_000, "a piece is bounded")
			found += len(rows)
			walks++
		}
		require.Equal(t, 5_000, found)
		require.Greater(t, walks, 4)
	})
}

func fillInbox(t *testing.T, db dbtest.Database) {
	t.Helper()
	switch db.Dialect {
	case dialect.PostgreSQL:
		exec(t, db.DB, `INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE n % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, gen_random_uuid()::text, now() - CASE WHEN n < 10000 THEN interval '2 hours' ELSE interval '0' END
			FROM generate_series(0, 99999) n`)
		exec(t, db.DB, "ANALYZE inbox_events")
	case dialect.MySQL:
		exec(t, db.DB, `INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE seq % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, uuid(), utc_timestamp(6) - INTERVAL CASE WHEN seq < 10000 THEN 2 ELSE 0 END HOUR
			FROM seq_0_to_99999`)
		exec(t, db.DB, "ANALYZE TABLE inbox_events")
	case dialect.SQLite:
		exec(t, db.DB, `WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 19999) -- it is slow under the race detector
			INSERT INTO inbox_events (consumer, message_id, processed_at)
			SELECT CASE n % 2 WHEN 0 THEN 'billing' ELSE 'mail' END, lower(hex(randomblob(16))),
			strftime('%Y-%m-%dT%H:%M:%f', 'now', CASE WHEN n < 10000 THEN '-2 hours' ELSE '-0 hours' END) || '000Z' FROM s`)
		exec(t, db.DB, "ANALYZE")
	}
}

// explained returns every cell of a plan.
func explained(t *testing.T, db dbtest.Database, query string, args []any) string {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer rows.Close()
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
