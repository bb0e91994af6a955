package dialect_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// Consumers ask every second for what operators asked for, of 20,000 parked messages of which
// ten are.
func TestTheAskedRowsAreFoundByIndex(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		const insert = "INSERT INTO inbox_parked (consumer, message_id, topic, headers, state) SELECT 'billing', 'm', 'orders', '{}', CASE WHEN n % 2000 = 0 THEN 'retry' ELSE 'failed' END FROM "
		want := "inbox_parked_asked_idx"
		explain := "EXPLAIN "
		switch db.Dialect {
		case dialect.PostgreSQL:
			exec(t, db.DB, insert+"generate_series(1, 20000) AS n")
			exec(t, db.DB, "ANALYZE inbox_parked")
		case dialect.MySQL:
			exec(t, db.DB, strings.ReplaceAll(insert, "n %", "seq %")+"seq_1_to_20000")
			exec(t, db.DB, "ANALYZE TABLE inbox_parked")
		case dialect.SQLite:
			exec(t, db.DB, "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) "+insert+"s")
			exec(t, db.DB, "ANALYZE")
			explain = "EXPLAIN QUERY PLAN "
		}
		in, err := dialect.NewInbox(dialect.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		asked, err := in.AskedParked(t.Context(), db.DB, "billing", 0, 1000)
		require.NoError(t, err)
		require.Len(t, asked, 10)
		query, args := in.AskedSQL("billing", 4000, 1000)
		require.Contains(t, explained(t, db, explain+query, args), want)
	})
}
