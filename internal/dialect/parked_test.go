package dialect_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

func TestASourceIsOwnedWhileItsLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		names := dialect.Names{Dialect: db.Dialect}
		owned := func() bool {
			o, err := dialect.Owned(t.Context(), db.DB, names)
			require.NoError(t, err)
			return o
		}
		require.False(t, owned())
		mustClaim(t, newRelay(t, db))
		require.True(t, owned())
		expire(t, db)
		require.False(t, owned())
	})
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}
