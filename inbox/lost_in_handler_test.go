package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

// outlive returns when the server has closed tx's connection, for the limit that a setting gives it.
func (b bench) outlive(t *testing.T, ctx context.Context, tx *sql.Tx, limit string) {
	self, gone := "SELECT pg_backend_pid()", "SELECT count(*) FROM pg_stat_activity WHERE pid = "
	if b.Dialect == db.MySQL {
		self, gone = "SELECT connection_id()", "SELECT count(*) FROM information_schema.processlist WHERE id = "
	}
	var id int64
	if err := tx.QueryRowContext(ctx, self).Scan(&id); err != nil {
		t.Error(err)
		return
	}
	if _, err := tx.ExecContext(ctx, limit); err != nil {
		t.Error(err)
		return
	}
	require.Eventually(t, func() bool { return b.count(t, gone+fmt.Sprint(id)) == 0 }, 20*time.Second,
		10*time.Millisecond)
}

// A handler that takes longer than the server lets a transaction be idle, and returns no error, or that of its last
// statement. The message is parked after its attempts, and the others flow. (Before, PostgreSQL's 25P03 ended Process
// and gave the attempt back, and MySQL's silence was an outage, for ever.)
func TestAHandlerThatOutlivesTheServersLimitHasFailed(t *testing.T) {
	idle := "SET LOCAL idle_in_transaction_session_timeout = 50"
	for name, c := range map[string]struct {
		server func(testing.TB) dbtest.Database
		limit  string
		free   int // runs that count no attempt: the server does not say why it has closed the connection
	}{
		"postgresql15":             {dbtest.PostgreSQL, idle, 0},
		"postgresql18":             {dbtest.PostgreSQL18, idle, 0},
		"postgresql18 transaction": {dbtest.PostgreSQL18, "SET LOCAL transaction_timeout = 50", 0},
		"mariadb":                  {dbtest.MariaDB, "SET SESSION idle_transaction_timeout = 1", inbox.MaxLosses - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, dbtest.Migrate(t, c.server(t)))
			const attempts = 2
			for way, handle := range map[string]func(ctx context.Context, ib *inbox.Inbox, ms []inbox.Message,
				h inbox.BatchHandler) ([]inbox.Outcome, error){
				"Process": oneByOne(b),
				"ProcessBatch": func(ctx context.Context, ib *inbox.Inbox, ms []inbox.Message, h inbox.BatchHandler) (
					[]inbox.Outcome, error) {
					return ib.ProcessBatch(ctx, b.DB, ms, h)
				},
			} {
				for _, ends := range []string{"nil", "its last error"} {
					b.exec(t, "DELETE FROM effects")
					ctx, cancel := context.WithCancel(t.Context())
					runs, alone := 0, 0
					ib := b.inbox(t, way+ends, inbox.WithMaxAttempts(attempts))
					ms := orders(4)
					outcomes, err := handle(ctx, ib, ms,
						func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
							for _, m := range ms {
								if m.ID == "002" {
									if runs++; runs > 20 {
										cancel()
										return nil
									}
									if len(ms) == 1 {
										alone++
									}
									b.outlive(t, ctx, tx, c.limit)
									if ends == "nil" {
										return nil
									}
								}
								if err := b.applying(ctx, tx, m); err != nil {
									return err
								}
							}
							return nil
						})
					cancel()
					require.NoError(t, err, "%s, %s", way, ends)
					require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Applied, inbox.Parked, inbox.Applied},
						outcomes, "%s, %s", way, ends)
					want := c.free + attempts
					if way == "ProcessBatch" { // the last half
						want++
					}
					require.Equal(t, want, alone, "%s, %s", way, ends)
					require.Equal(t, 3, b.effects(t), "%s, %s", way, ends)
					require.Equal(t, 1,
						b.count(t, "SELECT count(*) FROM inbox_parked WHERE consumer = ? AND state = 'failed' AND "+
							"attempts = 2", ib.Consumer()))
				}
			}
		})
	}
}

func oneByOne(b bench) func(ctx context.Context, ib *inbox.Inbox, ms []inbox.Message, h inbox.BatchHandler) (
	[]inbox.Outcome, error) {
	return func(ctx context.Context, ib *inbox.Inbox, ms []inbox.Message, h inbox.BatchHandler) (
		outcomes []inbox.Outcome, err error) {
		for _, m := range ms {
			outcome, err := ib.Process(ctx, b.DB, m, func(
				ctx context.Context, tx *sql.Tx) error {
				return h(ctx, tx, []inbox.Message{m})
			})
			if err != nil {
				return outcomes, err
			}
			outcomes = append(outcomes, outcome)
		}
		return outcomes, nil
	}
}

// The connection is lost under the handler again and again, and each time the database is away for a while: that is an
// outage, however often, and costs no attempt. So is a server that goes away before COMMIT has answered.
func TestADatabaseThatGoesAwayUnderTheHandlerCostsNoAttempt(t *testing.T) {
	b := onSQLite(t)
	for _, at := range []string{"effects", "RELEASE SAVEPOINT", faultdb.Commit} {
		const outages, length = 10, 5
		begun, left := 0, 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			switch {
			case left > 0:
				left--
				return faultdb.LoseRequest()
			case begun < outages && strings.Contains(statement, at):
				begun++
				left = length
				return faultdb.LoseRequest()
			}
			return faultdb.Fault{}
		})
		b.exec(t, "DELETE FROM effects")
		outcome, err := b.inbox(t, at, inbox.WithMaxAttempts(1)).Process(t.Context(), db, order("1", ""), b.effect("1"))
		require.NoError(t, err, at)
		require.Equal(t, inbox.Applied, outcome, at)
		require.Equal(t, outages, begun, at)
		require.Equal(t, 1, b.effects(t), at)
		b.clean(t)
	}
}

// A COMMIT that always breaks the connection, as a deferred trigger may, is the message's doing in the end.
func TestACommitThatAlwaysBreaksTheConnectionIsGivenUp(t *testing.T) {
	b := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runs, parking := 0, false
	db := b.faulty(t, func(statement string) faultdb.Fault {
		parking = parking || strings.Contains(statement, "inbox_parked")
		if statement == faultdb.Commit && !parking {
			return faultdb.LoseRequest()
		}
		return faultdb.Fault{}
	})
	outcome, err := b.inbox(t, "billing", inbox.WithMaxAttempts(2)).Process(
		ctx, db, order("1", ""), func(ctx context.Context, tx *sql.Tx) error {
			if runs++; runs > 20 {
				cancel()
			}
			return b.effect("1")(ctx, tx)
		})
	require.NoError(t, err)
	require.Equal(t, inbox.Parked, outcome)
	require.Equal(t, inbox.MaxLosses-1+2, runs)
	require.Zero(t, b.effects(t))
}

// sqlStateError and MySQLError are told by package dialect as the drivers' errors are.
type sqlStateError string

func (e sqlStateError) Error() string    { return "SQLSTATE " + string(e) }
func (e sqlStateError) SQLState() string { return string(e) }

type MySQLError struct{ Number uint16 }

func (e *MySQLError) Error() string { return fmt.Sprint("error ", e.Number) }

// A database that is read-only after a failover, or has no room left, costs no attempt, whether our statements meet it
// or the handler's.
func TestADatabaseThatCannotWorkCostsNoAttempt(t *testing.T) {
	b := onSQLite(t)
	for _, trouble := range []error{
		sqlStateError("25006"), sqlStateError("53000"), sqlStateError("53100"), sqlStateError("53200"),
		sqlStateError("53300"),
		sqlStateError("58000"), sqlStateError("58030"), &MySQLError{1021}, &MySQLError{1114}, &MySQLError{1290},
		&MySQLError{1836},
	} {
		for _, at := range []string{"inbox_attempts", "INTO \"inbox_events", "effects", faultdb.Commit} {
			for way, handle := range map[string]func(ib *inbox.Inbox, db *sql.DB) ([]inbox.Outcome, error){
				"Process": func(ib *inbox.Inbox, db *sql.DB) ([]inbox.Outcome, error) {
					outcome, err := ib.Process(t.Context(), db, orders(1)[0], b.effect("000"))
					return []inbox.Outcome{outcome}, err
				},
				"ProcessBatch": func(ib *inbox.Inbox, db *sql.DB) ([]inbox.Outcome, error) {
					calls := 0
					return ib.ProcessBatch(t.Context(), db, orders(3), b.applyAll(&calls))
				},
			} {
				name, met := fmt.Sprint(way, " ", trouble, " ", at), 0
				db := faultdb.Open(b.DB, func(statement string) faultdb.Fault {
					if met == 30 || !strings.Contains(statement, at) {
						return faultdb.Fault{}
					}
					met++
					return faultdb.Fail(trouble)
				})
				outcomes, err := handle(b.inbox(t, name, inbox.WithMaxAttempts(1)), db)
				require.NoError(t, err, name)
				require.Equal(t, len(outcomes), count(outcomes, inbox.Applied), name)
				require.Equal(t, 30, met, name)
				require.NoError(t, db.Close()) // it keeps connections of b's pool
				b.clean(t)
			}
		}
	}
}

// The same with a database that is really full.
func TestAFullDatabaseCostsNoAttempt(t *testing.T) {
	b := onSQLite(t)
	b.DB.SetMaxOpenConns(1) // the limit is the connection's
	limit := func(pages int) { b.count(t, fmt.Sprint("PRAGMA max_page_count = ", pages)) }
	limit(b.count(t, "PRAGMA page_count") + 4)
	waited := 0
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1),
		inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
			if waited++; waited == 10 {
				limit(1 << 30)
			}
			return ctx.Err()
		}))
	outcome, err := ib.Process(t.Context(), b.DB, order("1", "k"), b.effect(strings.Repeat("x", 64<<10)))
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	require.Equal(t, 10, waited)
	require.Equal(t, 1, b.effects(t))
}

// What one statement of the handler's takes too much of is the handler's doing.
func TestATemporaryFileOverItsLimitIsAnAttempt(t *testing.T) {
	b := onSQLite(t)
	require.Equal(t, inbox.Parked, b.process(t, b.inbox(t, "billing", inbox.WithMaxAttempts(1)), order("1", "k"),
		func(context.Context, *sql.Tx) error { return sqlStateError("53400") }))
}

// Another transaction holds the message for longer than the server lets a statement take: it is a conflict, and no
// reason to stop. (A handler's own statement that takes too long has failed.)
func TestAStatementOfOursThatTakesTooLongIsAConflict(t *testing.T) {
	for name, c := range map[string]struct {
		server func(testing.TB) dbtest.Database
		limit  string
	}{
		"postgresql15": {dbtest.PostgreSQL, "SET statement_timeout = 50"},
		"postgresql18": {dbtest.PostgreSQL18, "SET statement_timeout = 50"},
		"mariadb":      {dbtest.MariaDB, "SET SESSION max_statement_time = 0.05"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, c.server(t)))
			slow := b.pool(t)
			_, err := slow.ExecContext(t.Context(), c.limit)
			require.NoError(t, err)
			for way, ms := range map[string][]inbox.Message{"Process": orders(1), "ProcessBatch": orders(3)} {
				b.exec(t, "DELETE FROM effects")
				var conflicts atomic.Int64
				holder := b.begin(t)
				ib := b.inbox(t, way, inbox.WithMaxAttempts(1),
					inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
						if conflicts.Add(1) == 3 {
							return errors.Join(holder.Rollback(), ctx.Err())
						}
						return ctx.Err()
					}))
				_, err := ib.Accept(t.Context(), holder, ms[0])
				require.NoError(t, err)
				calls := 0
				outcomes, err := ib.ProcessBatch(t.Context(), slow, ms, b.applyAll(&calls))
				require.NoError(t, err, way)
				require.Equal(t, len(ms), count(outcomes, inbox.Applied), way)
				require.EqualValues(t, 3, conflicts.Load(), way)
				b.clean(t)
			}
			sleep := map[db.Dialect]string{db.PostgreSQL: "SELECT pg_sleep(10)",
				db.MySQL: "SELECT * FROM accounts WHERE sleep(10) = 0"}[b.Dialect]
			outcome, err := b.inbox(t, "its own", inbox.WithMaxAttempts(2)).Process(
				t.Context(), slow, order("1", "k"), func(ctx context.Context, tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, sleep)
					return err
				})
			require.NoError(t, err)
			require.Equal(t, inbox.Parked, outcome)
		})
	}
}

// A standby that a failover left behind, as a session that may not write sees it.
func TestAReadOnlyDatabaseIsRiddenOut(t *testing.T) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{"postgresql15": dbtest.PostgreSQL,
		"postgresql18": dbtest.PostgreSQL18} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, server(t)))
			db := b.pool(t)
			readOnly := func(on string) {
				_, err := db.ExecContext(t.Context(), "SET default_transaction_read_only = "+on)
				require.NoError(t, err)
			}
			readOnly("on")
			waited := 0
			ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1),
				inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
					if waited++; waited == 5 {
						readOnly("off")
					}
					return ctx.Err()
				}))
			outcome, err := ib.Process(t.Context(), db, order("1", "k"), b.effect("1"))
			require.NoError(t, err)
			require.Equal(t, inbox.Applied, outcome)
			require.Equal(t, 5, waited)
		})
	}
}
