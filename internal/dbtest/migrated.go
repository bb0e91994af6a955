package dbtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/migrations"
)

// EachMigrated is Each with Postroom's tables, under their default names.
func EachMigrated(t *testing.T, fn func(t *testing.T, db Database)) {
	t.Helper()
	Each(t, func(t *testing.T, db Database) { fn(t, Migrate(t, db)) })
}

// Migrate makes Postroom's tables in db, under their default names, and returns db.
// Use: db := dbtest.Migrate(t, dbtest.PostgreSQL(t)).
func Migrate(t testing.TB, db Database) Database {
	t.Helper()
	_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{})
	require.NoError(t, err)
	return db
}
