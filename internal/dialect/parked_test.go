package dialect_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/store/source"
)

func TestASourceIsOwnedWhileItsLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		owned := func() bool {
			o, err := sourceOf(t, db).Owned(t.Context())
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

func sourceOf(t *testing.T, db dbtest.Database) *source.Store {
	t.Helper()
	s, err := source.New(db.DB, dialect.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return s
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}
