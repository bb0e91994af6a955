package db_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// kinds names what the functions say about err: those of kinds that hold.
func kinds(err error) []string {
	all := []string{}
	for _, k := range []struct {
		name string
		is   func(error) bool
	}{
		{"missing table", db.IsMissingTable},
		{"syntax", db.IsSyntax},
		{"duplicate", db.IsDuplicate},
		{"serialization", db.IsSerialization},
		{"denied", db.IsDenied},
		{"tx done", db.IsTxDone},
		{"tx aborted", db.IsTxAborted},
		{"connection", db.IsConnection},
	} {
		if k.is(err) {
			all = append(all, k.name)
		}
	}
	return all
}

// requireKind checks err and the ways in which callers wrap it.
func requireKind(t *testing.T, want string, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, []string{want}, kinds(err), "%T %v", err, err)
	require.Equal(t, []string{want}, kinds(fmt.Errorf("a: %w", fmt.Errorf("b: %w", err))))
	require.Equal(t, []string{want}, kinds(errors.Join(errors.New("other"), err)))
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

func begin(t *testing.T, db *sql.DB, opts *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func TestErrorsOfTheRealDriversAreToldApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, on dbtest.Database) {
		exec(t, on.DB, "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, n int NOT NULL)")
		exec(t, on.DB, "INSERT INTO t VALUES (1, 1, 0), (2, 2, 0)")
		run := func(query string) error {
			_, err := on.DB.ExecContext(t.Context(), query)
			return err
		}
		requireKind(t, "missing table", run("INSERT INTO missing VALUES (1)"))
		_, err := on.DB.QueryContext(t.Context(), "SELECT 1 FROM missing")
		requireKind(t, "missing table", err)
		requireKind(t, "syntax", run("SELEC 1"))
		requireKind(t, "duplicate", run("INSERT INTO t VALUES (1, 9, 0)"))
		requireKind(t, "duplicate", run("INSERT INTO t VALUES (9, 1, 0)"))

		ended := begin(t, on.DB, nil)
		require.NoError(t, ended.Rollback())
		_, err = ended.ExecContext(t.Context(), "SELECT 1")
		requireKind(t, "tx done", err)
		requireKind(t, "tx done", ended.Commit())

		for name, err := range map[string]error{
			"a column that is missing": run("INSERT INTO t (missing) VALUES (1)"),
			"a NULL that is refused":   run("INSERT INTO t VALUES (8, 8, NULL)"),
		} {
			require.Error(t, err, name)
			require.Empty(t, kinds(err), name)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = on.DB.ExecContext(ctx, "INSERT INTO t VALUES (7, 7, 0)")
		require.Error(t, err)
		require.Empty(t, kinds(err), "a context that ended")
	})
	require.Empty(t, kinds(nil))
}

func TestTransactionsThatGotInEachOthersWayCanBeRepeated(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, on dbtest.Database) {
		exec(t, on.DB, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
		exec(t, on.DB, "INSERT INTO t VALUES (1, 0), (2, 0)")
		switch on.Dialect {
		case db.SQLite:
			sqliteBusy(t, on)
			return
		case db.PostgreSQL:
			serializationFailure(t, on)
		case db.MySQL:
			changedSinceRead(t, on)
		}
		lockTimeout(t, on)
		deadlock(t, on)
	})
}

func update(tx *sql.Tx, id int) error {
	_, err := tx.ExecContext(context.Background(), "UPDATE t SET n = n + 1 WHERE id = "+strconv.Itoa(id))
	return err
}

// changedSinceRead is what MariaDB does from 11.6 on, and earlier when it is told.
func changedSinceRead(t *testing.T, on dbtest.Database) {
	conn, err := on.DB.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for _, statement := range []string{
		"SET SESSION innodb_snapshot_isolation = 1", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN",
		"SELECT n FROM t",
	} {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	exec(t, on.DB, "UPDATE t SET n = n + 1 WHERE id = 1")
	_, err = conn.ExecContext(t.Context(), "UPDATE t SET n = n + 1 WHERE id = 1")
	requireKind(t, "serialization", err)
	for _, statement := range []string{
		"ROLLBACK", "SET SESSION innodb_snapshot_isolation = 0",
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
	} {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
}

func deadlock(t *testing.T, on dbtest.Database) {
	a, b := begin(t, on.DB, nil), begin(t, on.DB, nil)
	require.NoError(t, update(a, 1))
	require.NoError(t, update(b, 2))
	waiting := make(chan error, 1)
	go func() {
		err := update(a, 2)
		_ = a.Rollback()
		waiting <- err
	}()
	err := update(b, 1)
	_ = b.Rollback()
	if other := <-waiting; err == nil {
		err = other // the database chose the other one
	}
	requireKind(t, "serialization", err)
}

func lockTimeout(t *testing.T, on dbtest.Database) {
	a, b := begin(t, on.DB, nil), begin(t, on.DB, nil)
	require.NoError(t, update(a, 1))
	limit := "SET LOCAL lock_timeout = '10ms'"
	if on.Dialect == db.MySQL {
		limit = "SET innodb_lock_wait_timeout = 1"
	}
	_, err := b.ExecContext(t.Context(), limit)
	require.NoError(t, err)
	requireKind(t, "serialization", update(b, 1))
	require.NoError(t, errors.Join(b.Rollback(), a.Rollback()))
}

func serializationFailure(t *testing.T, on dbtest.Database) {
	repeatable := &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	a, b := begin(t, on.DB, repeatable), begin(t, on.DB, repeatable)
	var n int
	require.NoError(t, b.QueryRowContext(t.Context(), "SELECT n FROM t WHERE id = 1").Scan(&n)) // takes its snapshot
	require.NoError(t, update(a, 1))
	require.NoError(t, a.Commit())
	requireKind(t, "serialization", update(b, 1))
}

func sqliteBusy(t *testing.T, on dbtest.Database) {
	begin(t, on.DB, nil) // holds the write lock
	other, err := on.DB.Conn(t.Context())
	require.NoError(t, err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "PRAGMA busy_timeout = 1")
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "UPDATE t SET n = 1")
	requireKind(t, "serialization", err)
}

func TestATransactionWithAFailedStatementIsAborted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, on dbtest.Database) {
		tx := begin(t, on.DB, nil)
		_, err := tx.ExecContext(t.Context(), "SELECT no_such_column")
		require.Error(t, err)
		require.Empty(t, kinds(err))
		_, err = tx.ExecContext(t.Context(), "SELECT 1")
		if on.Dialect != db.PostgreSQL { // the others go on
			require.NoError(t, err)
			return
		}
		requireKind(t, "tx aborted", err)
	})
}

func TestAMissingRightIsDenied(t *testing.T) {
	for _, server := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.PostgreSQL18, dbtest.MariaDB} {
		on := server(t)
		exec(t, on.DB, "CREATE TABLE t (id int PRIMARY KEY)")
		exec(t, on.DB, "CREATE TABLE other (id int PRIMARY KEY)")
		user := dbtest.Restricted(t, on, "SELECT ON other")
		_, err := user.DB.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
		requireKind(t, "denied", err)
	}
}

func TestAConnectionThatIsKilledIsAConnectionError(t *testing.T) {
	servers := map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18, "mariadb": dbtest.MariaDB,
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			on := server(t)
			exec(t, on.DB, "CREATE TABLE t (id int PRIMARY KEY)")
			self, kill := "SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%d)"
			if on.Dialect == db.MySQL {
				self, kill = "SELECT connection_id()", "KILL %d"
			}
			ends := map[string]func(*sql.Tx) error{
				"in a statement": func(tx *sql.Tx) error {
					_, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
					return err
				},
				"in COMMIT":   (*sql.Tx).Commit,
				"in ROLLBACK": (*sql.Tx).Rollback,
			}
			for where, end := range ends {
				tx := begin(t, on.DB, nil)
				var id int64
				require.NoError(t, tx.QueryRowContext(t.Context(), self).Scan(&id))
				exec(t, on.DB, fmt.Sprintf(kill, id))
				if on.Dialect == db.PostgreSQL {
					untilGone(t, on.DB, id)
				}
				err := end(tx)
				require.Error(t, err, where)
				requireKind(t, "connection", err)
			}
		})
	}
}

func untilGone(t *testing.T, db *sql.DB, pid int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := db.QueryRowContext(
			t.Context(), fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid),
		).Scan(&n)
		return err == nil && n == 0
	}, 10*time.Second, 5*time.Millisecond)
}

func TestAServerThatIsNotThereIsAConnectionError(t *testing.T) {
	for _, server := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.MariaDB} {
		on := server(t)
		u, err := url.Parse(on.URL)
		require.NoError(t, err)
		u.Host = freeAddress(t)
		_, err = dbopen.Open(t.Context(), u.String())
		requireKind(t, "connection", err)
	}
}

// freeAddress is one on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func TestTooManyConnectionsIsAConnectionError(t *testing.T) {
	on := dbtest.PostgreSQL(t)
	user := dbtest.Restricted(t, on)
	var role string
	require.NoError(t, user.DB.QueryRowContext(t.Context(), "SELECT current_user").Scan(&role))
	exec(t, on.DB, "ALTER ROLE "+role+" CONNECTION LIMIT 1") // the pool has one already
	held, err := user.DB.Conn(t.Context())
	require.NoError(t, err)
	defer held.Close()
	requireKind(t, "connection", user.DB.PingContext(t.Context()))
}

func TestConnectionErrorsWithoutAServer(t *testing.T) {
	for _, err := range []error{
		driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		&net.OpError{Op: "read", Err: errors.New("connection reset by peer")},
		&net.DNSError{Name: "db", Err: "no such host"},
		errors.New("invalid connection"), errors.New("conn closed"),
	} {
		requireKind(t, "connection", err)
	}
	for _, err := range []error{
		context.Canceled, context.DeadlineExceeded, errors.New("sql: database is closed"), sql.ErrNoRows,
		&net.OpError{Op: "read", Err: context.DeadlineExceeded},
	} {
		require.Empty(t, kinds(err), "%v", err)
	}
}

type stateError string

func (e stateError) Error() string    { return string(e) }
func (e stateError) SQLState() string { return string(e) }

func TestWhatTheServerSaysOfItsLimitsAndMeans(t *testing.T) {
	for _, c := range []struct {
		name  string
		is    func(error) bool
		true  []string
		false []string
	}{
		{
			"IsTimeLimit", db.IsTimeLimit, []string{"25P03", "25P04", "57P05"},
			[]string{"57P01", "57014", "25P02", "25006"},
		},
		{"IsStatementLimit", db.IsStatementLimit, []string{"57014"}, []string{"57P01", "25P03", "40001"}},
		{
			"IsUnavailable", db.IsUnavailable, []string{"25006", "53000", "53100", "53200", "53300", "58000", "58030"},
			[]string{"53400", "25P03", "57014", "54000", "23505"},
		},
		{
			"IsConnection", db.IsConnection, []string{"25P03", "25P04", "57P05", "57P01"},
			[]string{"25P02", "57014", "25006", "53100"},
		},
	} {
		for _, state := range c.true {
			require.True(t, c.is(fmt.Errorf("a: %w", stateError(state))), "%s %s", c.name, state)
		}
		for _, state := range c.false {
			require.False(t, c.is(stateError(state)), "%s %s", c.name, state)
		}
		require.False(t, c.is(nil), c.name)
		require.False(
			t, c.is(errors.New("ERROR: disk full (SQLSTATE 53100)")), "%s: by what an error carries, not by its text",
			c.name,
		)
	}
}
