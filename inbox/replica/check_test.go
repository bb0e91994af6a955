package replica_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

// What is wrong with a table is said at start: afterwards it would be an error of each message.
func TestCheckSaysWhatIsWrongWithTheTable(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r, err := replica.New(db.Dialect,
			replica.Config{Table: "customers", Key: []string{"id"}, Columns: []string{"name"}})
		require.NoError(t, err)
		for _, c := range []struct{ table, says string }{
			{"", "create the replica's own table"},
			{"CREATE TABLE customers (id bigint PRIMARY KEY)", "name"},
			{"CREATE TABLE customers (id bigint NOT NULL, name varchar(100))", "unique"},
			{"CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100))", ""},
		} {
			if c.table != "" {
				_, err := db.DB.ExecContext(t.Context(), c.table)
				require.NoError(t, err)
			}
			err := r.Check(t.Context(), db.DB)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, `replica "customers": table customers: `)
			require.Contains(t, strings.ToLower(err.Error()), c.says, c.table)
			_, err = db.DB.ExecContext(t.Context(), "DROP TABLE IF EXISTS customers")
			require.NoError(t, err)
		}
	})
}
