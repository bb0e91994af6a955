package dbopen_test

import (
	"context"
	"database/sql"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "hunter2xyz"

func TestConnectionsAreSetUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		ask := map[sqldb.Dialect]map[string]string{
			sqldb.PostgreSQL: {
				"SHOW timezone":                      "UTC",
				"SHOW default_transaction_isolation": "read committed",
				"SHOW application_name":              "postroom",
			},
			sqldb.MySQL: {
				"SELECT @@session.time_zone":                                "+00:00",
				"SELECT @@session.tx_isolation":                             "READ-COMMITTED",
				"SELECT INSTR(@@session.sql_mode, 'STRICT_ALL_TABLES') > 0": "1",
			},
			sqldb.SQLite: {
				"PRAGMA journal_mode": "wal",
				"PRAGMA synchronous":  "2",
				"PRAGMA foreign_keys": "1",
				"PRAGMA busy_timeout": "10000",
			},
		}
		// More than one connection: the settings must hold for each.
		first, err := db.DB.Conn(t.Context())
		require.NoError(t, err)
		defer func() { _ = first.Close() }()
		second, err := db.DB.Conn(t.Context())
		require.NoError(t, err)
		defer func() { _ = second.Close() }()
		for _, conn := range []*sql.Conn{first, second} {
			for query, want := range ask[db.Dialect] {
				var got string
				require.NoError(t, conn.QueryRowContext(t.Context(), query).Scan(&got), query)
				require.Equal(t, want, got, query)
			}
		}
	})
}

func TestADefaultIsolationOfTheServerDoesNotMatter(t *testing.T) {
	db := dbtest.PostgreSQL(t)
	_, err := db.DB.ExecContext(
		t.Context(),
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', "+
			"current_database()); END $$",
	)
	require.NoError(t, err)
	again := open(t, db.URL)
	var got string
	require.NoError(t, again.DB.QueryRowContext(t.Context(), "SHOW transaction_isolation").Scan(&got))
	require.Equal(t, "read committed", got)
}

func TestAPoolerIsFoundAndStatementsWorkThroughIt(t *testing.T) {
	require.False(t, open(t, dbtest.PostgreSQL(t).URL).Pooler)
	db := dbtest.PgBouncer(t)
	_, err := db.DB.ExecContext(t.Context(), "CREATE TABLE t (id uuid, data jsonb, body bytea, at timestamptz)")
	require.NoError(t, err)
	// Parameters whose type only the server knows, from several connections at once:
	// named statements would be missing or doubled on the shared server connections.
	done := make(chan error)
	for range 8 {
		go func() { done <- insertMany(t.Context(), db.DB, 20) }()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
	var n int
	require.NoError(
		t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM t WHERE body = $1", []byte{0, 255}).Scan(&n),
	)
	require.Equal(t, 160, n)
}

func insertMany(ctx context.Context, db *sql.DB, n int) error {
	for range n {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO t VALUES ($1, $2, $3, $4)",
			"0190b6c4-0000-7000-8000-000000000000", `{"a":1}`, []byte{0, 255}, time.Now())
		if err != nil {
			_ = tx.Rollback()
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func TestAPoolerWithAnotherIsolationIsRefused(t *testing.T) {
	db := dbtest.PgBouncer(t)
	_, err := db.DB.ExecContext(
		t.Context(),
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', "+
			"current_database()); END $$",
	)
	require.NoError(t, err)
	// Ends the pooler's server connections, so that it makes new ones with the setting.
	_, _ = db.DB.ExecContext(
		t.Context(),
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "+
			"pg_backend_pid()",
	)
	_, _ = db.DB.ExecContext(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	require.Eventually(t, func() bool {
		target, err := dbopen.Open(t.Context(), db.URL)
		if err == nil {
			_ = target.DB.Close()
			return false
		}
		return strings.Contains(err.Error(), "ALTER ROLE")
	}, 10*time.Second, 50*time.Millisecond)
}

func TestAnUnreachableServerIsNamedWithWhatToTry(t *testing.T) {
	silent := silentServer(t)
	refusing := refusingAddress(t)
	for name, c := range map[string]struct {
		url  string
		want []string
	}{
		"postgres refuses": {
			"postgres://u:" + secret + "@" + refusing + "/shop",
			[]string{"postgresql at " + refusing + "/shop", "nothing listens there"},
		},
		"mysql refuses": {
			"mysql://u:" + secret + "@" + refusing + "/shop",
			[]string{"mysql at " + refusing + "/shop", "nothing listens there"},
		},
		"postgres is silent": {"postgres://u:" + secret + "@" + silent + "/shop?connect_timeout=1",
			[]string{silent, "no answer within 1s"}},
		"mysql is silent": {
			"mysql://u:" + secret + "@" + silent + "/shop?timeout=300ms", []string{silent, "no answer within 300ms"},
		},
		"no such host":   {"postgres://u:" + secret + "@db.invalid/shop", []string{"db.invalid", "host's name"}},
		"no such folder": {"sqlite:///no/such/folder/shop.db", []string{"/no/such/folder/shop.db", "cannot connect"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dbopen.Open(t.Context(), c.url)
			require.Error(t, err)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestWrongCredentialsAndDatabasesHaveTheirHints(t *testing.T) {
	for _, flavor := range []struct {
		name string
		open func(testing.TB) dbtest.Database
	}{{"postgresql", dbtest.PostgreSQL}, {"mariadb", dbtest.MariaDB}} {
		t.Run(flavor.name, func(t *testing.T) {
			good := flavor.open(t).URL
			_, err := dbopen.Open(
				t.Context(),
				change(t, good, func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), secret) }),
			)
			require.ErrorContains(t, err, "check user and password")
			require.NotContains(t, err.Error(), secret)
			_, err = dbopen.Open(t.Context(), change(t, good, func(u *url.URL) { u.Path = "/nosuchdatabase" }))
			require.ErrorContains(t, err, "does not exist")
		})
	}
}

func TestAMissingFileIsRefusedWhereItMustExist(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing.db")
	_, err := dbopen.Open(t.Context(), "sqlite://"+file, dbopen.WithExisting())
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "relay migrate up")
	require.NoFileExists(t, file)
	open(t, "sqlite://"+file)
	require.FileExists(t, file)
	open(t, "sqlite://"+file)
}

func TestFileNamesWithSpecialCharactersWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b?c#d%e&f.db")
	open(t, "sqlite://"+(&url.URL{Path: file}).EscapedPath())
	require.FileExists(t, file)
}

func TestSQLiteTransactionsTakeTheWriteLockWhenTheyBegin(t *testing.T) {
	db := dbtest.SQLite(t)
	tx, err := db.DB.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = db.DB.ExecContext(ctx, "CREATE TABLE t (id int)")
	require.Error(t, err, "a second writer must wait")
}

func open(t *testing.T, rawURL string) *dbopen.Target {
	t.Helper()
	target, err := dbopen.Open(t.Context(), rawURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = target.DB.Close() })
	return target
}

func change(t *testing.T, raw string, fn func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	fn(u)
	return u.String()
}

// silentServer accepts connections and never says a word.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// refusingAddress is one that nothing listens on.
func refusingAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
