package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/faultdb"
)

// The environment variables that name the servers.
const (
	envPostgreSQL15 = "POSTROOM_TEST_POSTGRES_URL"
	envPostgreSQL18 = "POSTROOM_TEST_POSTGRES18_URL"
	envMariaDB      = "POSTROOM_TEST_MARIADB_URL"
	envPgBouncer    = "POSTROOM_TEST_PGBOUNCER_URL"
	envKafka        = "POSTROOM_TEST_KAFKA_BROKERS"
	envAMQP         = "POSTROOM_TEST_AMQP_URL"
	envRecord       = "POSTROOM_TEST_RECORD" // a directory: see record
)

// Flavors of Database.
const (
	FlavorPostgreSQL15 = "postgresql15"
	FlavorPostgreSQL18 = "postgresql18"
	FlavorMariaDB      = "mariadb"
	FlavorSQLite       = "sqlite"
	FlavorPgBouncer    = "pgbouncer" // PostgreSQL 15 behind pgbouncer in transaction mode
)

// Database is a database of its own for one test.
type Database struct {
	Dialect db.Dialect
	Flavor  string // one of the Flavor constants
	DB      *sql.DB
	URL     string // opens it again, as in another process
}

// poolSize serves the tests with 32 writers; the servers allow about 100 connections.
const poolSize = 48

// cleanupTimeout bounds what a test waits for at its end.
const cleanupTimeout = 30 * time.Second

// Each runs fn as a subtest on a fresh, empty database of every server: postgresql15,
// postgresql18, mariadb and sqlite. The four run beside one another, each on a server of its
// own, because they mostly wait. Each returns when all have ended.
func Each(t *testing.T, fn func(t *testing.T, db Database)) {
	t.Helper()
	t.Run("on", func(t *testing.T) { // the group ends with its last subtest
		beside := func(flavor string, fresh func(testing.TB) Database) {
			t.Run(flavor, func(t *testing.T) {
				t.Parallel()
				fn(t, fresh(t))
			})
		}
		beside(FlavorPostgreSQL15, PostgreSQL)
		beside(FlavorPostgreSQL18, PostgreSQL18)
		beside(FlavorMariaDB, MariaDB)
		beside(FlavorSQLite, SQLite)
	})
}

// env returns the variable's value, or ends the test.
func env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value != "" {
		return value
	}
	const how = "%s is not set: run dev/services up && eval \"$(dev/services env)\""
	if os.Getenv("CI") == "true" {
		t.Fatalf(how, name)
	}
	t.Skipf(how, name)
	return ""
}

// Alone reports whether no database server is known, so that tests run on SQLite only.
func Alone() bool { return os.Getenv(envPostgreSQL15) == "" && os.Getenv(envMariaDB) == "" }

// open opens a database for the time of the test.
func open(t testing.TB, rawURL string) *dbopen.Target {
	t.Helper()
	target, err := dbopen.Open(t.Context(), rawURL, dbopen.WithMaxOpen(poolSize))
	require.NoError(t, err)
	t.Cleanup(func() { _ = target.DB.Close() })
	if dir := os.Getenv(envRecord); dir != "" {
		record(t, target, dir)
	}
	return target
}

// record adds each statement that Postroom sends to dir/‹dialect›.sql, where
// internal/conformance's TestGoldenStatements reads it.
func record(t testing.TB, target *dbopen.Target, dir string) {
	t.Helper()
	file, err := os.OpenFile(
		filepath.Join(dir, string(target.Dialect)+".sql"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644,
	)
	require.NoError(t, err)
	recorder := &faultdb.Recorder{
		Each: func(statement string) { _, _ = file.WriteString(statement + faultdb.Separator) },
	}
	inner, recorded := target.DB, faultdb.Open(target.DB, recorder.Hook)
	t.Cleanup(func() { _ = errors.Join(recorded.Close(), inner.Close(), file.Close()) })
	target.DB = recorded
}

// atEnd registers fn for the end of the test, with a context of its own: the test's
// is cancelled by then.
func atEnd(t testing.TB, fn func(ctx context.Context)) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		fn(ctx)
	})
}

// freshName returns a name that no other test has.
func freshName(t testing.TB) string {
	t.Helper()
	var b [6]byte
	_, err := rand.Read(b[:])
	require.NoError(t, err)
	return "postroom_test_" + hex.EncodeToString(b[:])
}

// withDatabase returns rawURL with another database's name.
func withDatabase(t testing.TB, rawURL, name string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err, "the URL of a test server")
	u.Path = "/" + name
	return u.String()
}
