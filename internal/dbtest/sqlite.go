package dbtest

import (
	"net/url"
	"path/filepath"
	"testing"
)

// SQLite returns a fresh, empty SQLite database in a file of the test's own.
func SQLite(t testing.TB) Database {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.db")
	fresh := "sqlite://" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath()
	target := open(t, fresh)
	return Database{Dialect: target.Dialect, Flavor: FlavorSQLite, DB: target.DB, URL: fresh}
}
