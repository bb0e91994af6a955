package inbox_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/inbox"
)

// Consumers ask every second for what operators asked for, of 20,000 parked messages of which
// ten are.
func TestTheAskedRowsAreFoundByIndex(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, d dbtest.Database) {
		const insert = "INSERT INTO inbox_parked (consumer, message_id, topic, headers, state) " +
			"SELECT 'billing', 'm', 'orders', '{}', CASE WHEN n % 2000 = 0 THEN 'retry' ELSE 'failed' END FROM "
		want := "inbox_parked_asked_idx"
		switch d.Dialect {
		case db.PostgreSQL:
			exec(t, d.DB, insert+"generate_series(1, 20000) AS n")
			exec(t, d.DB, "ANALYZE inbox_parked")
		case db.MySQL:
			exec(t, d.DB, strings.ReplaceAll(insert, "n %", "seq %")+"seq_1_to_20000")
			exec(t, d.DB, "ANALYZE TABLE inbox_parked")
		case db.SQLite:
			exec(t, d.DB, "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) "+insert+"s")
			exec(t, d.DB, "ANALYZE")
		}
		in, err := inbox.New(db.Names{Dialect: d.Dialect})
		require.NoError(t, err)
		asked, err := in.Requests(t.Context(), d.DB, "billing", 0, 1000)
		require.NoError(t, err)
		require.Len(t, asked, 10)
		query, args := in.RequestsSQL("billing", 4000, 1000)
		require.Contains(t, dbtest.Plan(t, d, query, args...), want)
	})
}
