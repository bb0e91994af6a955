package inbox_test

import (
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a migrated database with a table for the effects of handlers.
type bench struct {
	dbtest.Database
	daily bool // inbox_events has daily partitions
}

func each(t *testing.T, fn func(t *testing.T, b bench)) {
	t.Helper()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		fn(t, newBench(t, db))
	})
}

// eachLayout is each, and PostgreSQL with daily partitions.
func eachLayout(t *testing.T, fn func(t *testing.T, b bench)) {
	t.Helper()
	each(t, fn)
	t.Run("postgresql15 in daily partitions", func(t *testing.T) {
		t.Parallel()
		fn(t, newDailyBench(t))
	})
}

func newDailyBench(t *testing.T) bench {
	t.Helper()
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	b.daily = true
	_, err := b.tables().Partition(t.Context(), b.DB, 1, time.Minute)
	require.NoError(t, err)
	return b
}

func onSQLite(t *testing.T) bench {
	t.Helper()
	return newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
}

func newBench(t *testing.T, db dbtest.Database) bench {
	t.Helper()
	b := bench{Database: db}
	b.exec(t, "CREATE TABLE effects (message_id varchar(255) NOT NULL)")
	b.exec(t, "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)")
	b.exec(t, "INSERT INTO accounts VALUES (1, 0), (2, 0)")
	return b
}

// inbox returns one that pauses for no time and is quiet.
func (b bench) inbox(t *testing.T, consumer string, opts ...inbox.Option) *inbox.Inbox {
	t.Helper()
	opts = append([]inbox.Option{inbox.WithLogger(slog.New(slog.DiscardHandler)), inbox.WithSleep(noPause)}, opts...)
	if b.daily {
		opts = append(opts, inbox.WithDailyPartitions())
	}
	ib, err := inbox.New(b.Dialect, consumer, opts...)
	require.NoError(t, err)
	return ib
}

func noPause(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// sql puts the dialect's placeholders where the question marks are.
func (b bench) sql(query string) string {
	if b.Dialect != db.PostgreSQL {
		return query
	}
	parts := strings.Split(query, "?")
	var out strings.Builder
	for i, part := range parts {
		if i > 0 {
			out.WriteString("$" + strconv.Itoa(i))
		}
		out.WriteString(part)
	}
	return out.String()
}

func (b bench) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := b.DB.ExecContext(t.Context(), b.sql(query), args...)
	require.NoError(t, err)
}

func (b bench) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.DB.QueryRowContext(t.Context(), b.sql(query), args...).Scan(&n))
	return n
}

func (b bench) effects(t *testing.T) int { return b.count(t, "SELECT count(*) FROM effects") }

// effect is a handler that leaves a row.
func (b bench) effect(id string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, b.sql("INSERT INTO effects VALUES (?)"), id)
		return err
	}
}

func (b bench) begin(t *testing.T) *sql.Tx {
	t.Helper()
	tx, err := b.DB.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// accept accepts in a transaction of its own and commits.
func (b bench) accept(t *testing.T, ib *inbox.Inbox, m inbox.Message) bool {
	t.Helper()
	tx := b.begin(t)
	fresh, err := ib.Accept(t.Context(), tx, m)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	return fresh
}

// untilWaiting returns when a transaction of this database waits for another one's
// lock. SQLite cannot tell; its second writer waits in BEGIN at the latest.
func (b bench) untilWaiting(t *testing.T) {
	t.Helper()
	tick := 5 * time.Millisecond
	query := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	switch b.Dialect {
	case db.SQLite:
		return
	case db.MySQL:
		tick = 150 * time.Millisecond // InnoDB shows what it showed last, if asked again within 100 ms
		query = `SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p
			ON p.id = t.trx_mysql_thread_id WHERE p.db = database() AND t.trx_state = 'LOCK WAIT'`
	}
	require.Eventually(t, func() bool { return b.count(t, query) > 0 }, 10*time.Second, tick)
}

// makeOlder turns back the time of all rows of the inbox.
func (b bench) makeOlder(t *testing.T, by time.Duration) {
	t.Helper()
	seconds := int(by.Seconds())
	switch b.Dialect {
	case db.PostgreSQL:
		b.exec(t, "UPDATE inbox_events SET processed_at = processed_at - ? * interval '1 second'", float64(seconds))
	case db.MySQL:
		b.exec(t, "UPDATE inbox_events SET processed_at = processed_at - INTERVAL ? SECOND", seconds)
	case db.SQLite:
		b.exec(t, "UPDATE inbox_events SET processed_at = strftime('%Y-%m-%dT%H:%M:%f', processed_at, ?) || '000Z'",
			"-"+strconv.Itoa(seconds)+" seconds")
	}
}

// pool is another way to the database, over one connection, whose settings are its own.
func (b bench) pool(t *testing.T) *sql.DB {
	t.Helper()
	target, err := dbopen.Open(t.Context(), b.URL)
	require.NoError(t, err)
	target.DB.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, target.DB.Close()) })
	return target.DB
}
