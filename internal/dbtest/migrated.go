package dbtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/migrations"
)

// EachMigrated is Each with Postroom's tables, under their default names.
func EachMigrated(t *testing.T, fn func(t *testing.T, db Database)) {
	t.Helper()
	Each(t, func(t *testing.T, db Database) { fn(t, Migrate(t, db)) })
}

// Migrate makes Postroom's tables in the empty database db, under their default names,
// and returns db. Use: db := dbtest.Migrate(t, dbtest.PostgreSQL(t)).
//
// It runs what migrations.Print prints, which takes a third of the time of
// migrations.Apply with its lock and looks; that both make the same is a test of package
// migrations. Only the table of the migrations' lock is missing: a test that needs it calls
// migrations.Apply.
func Migrate(t testing.TB, db Database) Database {
	t.Helper()
	files, err := migrations.Print(db.Dialect, migrations.Options{})
	require.NoError(t, err)
	var script strings.Builder
	for _, file := range files {
		script.WriteString(file.SQL)
	}
	for _, statements := range calls(db.Dialect, script.String()) {
		_, err := db.DB.ExecContext(t.Context(), statements)
		require.NoError(t, err, statements)
	}
	return db
}

// calls cuts a script into what the driver takes in one call: all of it, but on MySQL,
// whose driver we keep from taking several statements, one. Our files end each with a
// semicolon at the end of a line, and have none there otherwise.
func calls(d db.Dialect, script string) []string {
	if d != db.MySQL {
		return []string{script}
	}
	var all []string
	for statement := range strings.SplitSeq(script, ";\n") {
		if strings.TrimSpace(statement) != "" {
			all = append(all, statement)
		}
	}
	return all
}
