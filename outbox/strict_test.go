package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

// SQLite has one writer at a time, and no locks to test.
func TestStrictKeyOrder(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, db dbtest.Database)
	}{
		{"the second writer of a key waits", strictKeyOrderMakesTheSecondWriterOfAKeyWait},
		{"without it the second writer overtakes", withoutStrictKeyOrderTheSecondWriterOvertakes},
		{"other keys pass", strictKeyOrderLetsOtherKeysPass},
		{"Add that waits for a lock honours its context", addThatWaitsForALockHonoursItsContext},
		{"writers that name keys in opposite order do not deadlock", strictKeyOrderDoesNotDeadlock},
		{"locks in the order of the events deadlock", locksInTheOrderOfTheEventsDeadlock},
	}
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL,
		dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
		dbtest.FlavorMariaDB:      dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, open(t))
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					_, err := db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
					require.NoError(t, err)
					test.run(t, db)
				})
			}
		})
	}
}

// adding is an Add that runs in its own transaction while the test looks on.
type adding struct {
	tx   *sql.Tx
	pid  int64 // the server's number of the connection
	done chan error
}

func startAdding(
	ctx context.Context, t testing.TB, db dbtest.Database, ob *outbox.Outbox, events ...outbox.Event,
) *adding {
	t.Helper()
	a := &adding{tx: begin(t, db.DB), done: make(chan error, 1)}
	a.pid = connectionOf(t, db, a.tx)
	go func() { a.done <- ob.Add(ctx, a.tx, events...) }()
	return a
}

func connectionOf(t testing.TB, db dbtest.Database, tx *sql.Tx) (pid int64) {
	t.Helper()
	query := "SELECT pg_backend_pid()"
	if db.Dialect == outbox.MySQL {
		query = "SELECT connection_id()"
	}
	require.NoError(t, tx.QueryRowContext(t.Context(), query).Scan(&pid))
	return pid
}

// waitsForALock returns when the server says that the connection waits for a lock.
func waitsForALock(t testing.TB, db dbtest.Database, pid int64) {
	t.Helper()
	waiting := waitsOnPostgreSQL
	if db.Dialect == outbox.MySQL {
		waiting = waitsOnMariaDB
	}
	require.Eventually(t, func() bool { return waiting(t, db.DB, pid) },
		20*time.Second, 10*time.Millisecond, "it must wait for the first transaction")
}

func waitsOnPostgreSQL(t testing.TB, db *sql.DB, pid int64) (waiting bool) {
	assert.NoError(t, db.QueryRowContext(t.Context(),
		"SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1)",
		pid).Scan(&waiting))
	return waiting
}

// waitsOnMariaDB reads the monitor's text, because information_schema.innodb_trx is a
// copy that stays as it is while anyone on the server reads it more often than ten times
// a second.
func waitsOnMariaDB(t testing.TB, db *sql.DB, pid int64) bool {
	var kind, name, status string
	assert.NoError(t, db.QueryRowContext(t.Context(), "SHOW ENGINE INNODB STATUS").Scan(&kind, &name, &status))
	for _, transaction := range strings.Split(status, "---TRANSACTION") {
		if strings.Contains(transaction, fmt.Sprintf(" thread id %d,", pid)) {
			return strings.Contains(transaction, "LOCK WAIT")
		}
	}
	return false
}

func strictKeyOrderMakesTheSecondWriterOfAKeyWait(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db, outbox.StrictKeyOrder())
	for name, end := range map[string]func(*sql.Tx) error{
		"commits": (*sql.Tx).Commit, "rolls back": (*sql.Tx).Rollback,
	} {
		t.Run("until the first "+name, func(t *testing.T) {
			_, err := db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
			require.NoError(t, err)
			first := begin(t, db.DB)
			require.NoError(t, ob.Add(t.Context(), first, outbox.Event{Topic: "t", Key: "k", Type: "first"}))
			second := startAdding(t.Context(), t, db, ob, outbox.Event{Topic: "t", Key: "k", Type: "second"})
			waitsForALock(t, db, second.pid)
			require.Empty(t, second.done)
			require.NoError(t, end(first))
			require.NoError(t, <-second.done)
			require.NoError(t, second.tx.Commit())

			var types []string
			for _, r := range rowsOf(t, db.DB) {
				types = append(types, r.Type)
			}
			want := map[string][]string{"commits": {"first", "second"}, "rolls back": {"second"}}
			require.Equal(t, want[name], types, "in the order of the commits")
		})
	}
}

// The test above shows something: without the option the second writer overtakes.
func withoutStrictKeyOrderTheSecondWriterOvertakes(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	first := begin(t, db.DB)
	require.NoError(t, ob.Add(t.Context(), first, outbox.Event{Topic: "t", Key: "k", Type: "first"}))
	add(t, db, ob, outbox.Event{Topic: "t", Key: "k", Type: "second"})
	require.Len(t, rowsOf(t, db.DB), 1, "the second is there, the first is not")
	require.NoError(t, first.Commit())
	require.Equal(t, "first", rowsOf(t, db.DB)[0].Type)
}

func strictKeyOrderLetsOtherKeysPass(t *testing.T, db dbtest.Database) {
	// On MariaDB two keys may share a row of the lock table; these two do not.
	ob := newOutbox(t, db, outbox.StrictKeyOrder())
	first := begin(t, db.DB)
	require.NoError(t, ob.Add(t.Context(), first, outbox.Event{Topic: "t", Key: "k"}))
	for _, other := range []outbox.Event{{Topic: "t", Key: "other"}, {Topic: "other", Key: "k"}, {Topic: "t"}} {
		add(t, db, ob, other)
	}
	require.NoError(t, first.Commit())
	require.Len(t, rowsOf(t, db.DB), 4)
}

// One writer names the schema, the other leaves it to the search path.
func TestStrictKeyOrderHoldsBetweenWritersThatNameTheTableDifferently(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	first := begin(t, db.DB)
	event := outbox.Event{Topic: "t", Key: "k"}
	require.NoError(
		t, newOutbox(t, db, outbox.StrictKeyOrder(), outbox.WithSchema("public")).Add(t.Context(), first, event),
	)
	second := startAdding(t.Context(), t, db, newOutbox(t, db, outbox.StrictKeyOrder()), event)
	waitsForALock(t, db, second.pid)
	require.NoError(t, first.Commit())
	require.NoError(t, <-second.done)
	require.NoError(t, second.tx.Commit())
}

func addThatWaitsForALockHonoursItsContext(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db, outbox.StrictKeyOrder())
	first := begin(t, db.DB)
	require.NoError(t, ob.Add(t.Context(), first, outbox.Event{Topic: "t", Key: "k"}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	second := startAdding(ctx, t, db, ob, outbox.Event{Topic: "t", Key: "k"})
	waitsForALock(t, db, second.pid)
	cancel()
	require.ErrorIs(t, <-second.done, context.Canceled)
}

// PostgreSQL keeps the order in which one statement takes its locks only if the plan
// sorts below the call. The proof: another transaction holds the lock in the middle, and
// when the statement waits for it, it has all lower ones and none of the higher.
func TestStrictKeyOrderTakesTheLocksOfOneStatementInOrder(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, open(t))
			ob := newOutbox(t, db, outbox.StrictKeyOrder())
			events := make([]outbox.Event, 200)
			keyOf := map[int64]string{}
			for i := range events {
				events[i] = outbox.Event{Topic: "t", Key: fmt.Sprint(i)}
				tx := begin(t, db.DB)
				require.NoError(t, ob.Add(t.Context(), tx, events[i]))
				held := advisoryLocks(t, tx, connectionOf(t, db, tx))
				require.Len(t, held, 1)
				keyOf[held[0]] = events[i].Key
				require.NoError(t, tx.Rollback())
			}
			numbers := make([]int64, 0, len(keyOf))
			for n := range keyOf {
				numbers = append(numbers, n)
			}
			slices.Sort(numbers)
			middle := begin(t, db.DB)
			require.NoError(t, ob.Add(t.Context(), middle, outbox.Event{Topic: "t", Key: keyOf[numbers[100]]}))

			all := startAdding(t.Context(), t, db, ob, events...)
			waitsForALock(t, db, all.pid)
			held := advisoryLocks(t, db.DB, all.pid)
			require.Equal(t, numbers[:100], held)
			require.NoError(t, middle.Rollback())
			require.NoError(t, <-all.done)
			require.Equal(t, numbers, advisoryLocks(t, all.tx, all.pid))
			require.NoError(t, all.tx.Rollback())
		})
	}
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// advisoryLocks returns the numbers of the locks that a connection holds, ascending.
func advisoryLocks(t testing.TB, db queryer, pid int64) []int64 {
	t.Helper()
	rows, err := db.QueryContext(t.Context(),
		"SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND "+
			"pid = $1", pid)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var numbers []int64
	for rows.Next() {
		var n int64
		require.NoError(t, rows.Scan(&n))
		numbers = append(numbers, n)
	}
	require.NoError(t, rows.Err())
	slices.Sort(numbers)
	return numbers
}

// Two writers name the same keys in opposite order, over and over.
func strictKeyOrderDoesNotDeadlock(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db, outbox.StrictKeyOrder())
	events := []outbox.Event{}
	for i := range 8 {
		events = append(events, outbox.Event{Topic: "t", Key: fmt.Sprint(i)})
	}
	backwards := slices.Clone(events)
	slices.Reverse(backwards)
	const rounds = 100
	write := func(events []outbox.Event) error {
		for range rounds {
			tx, err := db.DB.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			if err := ob.Add(t.Context(), tx, slices.Clone(events)...); err != nil {
				return fmt.Errorf("%w; %w", err, tx.Rollback())
			}
			if err := tx.Commit(); err != nil {
				return err
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			if i%2 == 0 {
				errs[i] = write(events)
			} else {
				errs[i] = write(backwards)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, rowsOf(t, db.DB), len(errs)*rounds*len(events))
}

// The naive variant takes the locks in the order of the events. The two transactions
// meet between their first and their second lock.
func locksInTheOrderOfTheEventsDeadlock(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db, outbox.StrictKeyOrder())
	var bothHaveOne sync.WaitGroup
	bothHaveOne.Add(2)
	naive := func(keys ...string) error {
		tx, err := db.DB.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for i, key := range keys { // a call of Add per key: nothing sorts them
			if err := ob.Add(t.Context(), tx, outbox.Event{Topic: "t", Key: key}); err != nil {
				return err
			}
			if i == 0 {
				bothHaveOne.Done()
				bothHaveOne.Wait()
			}
		}
		return tx.Commit()
	}
	errs := make(chan error, 2)
	go func() { errs <- naive("a", "b") }()
	go func() { errs <- naive("b", "a") }()
	var failed []string
	for range 2 {
		if err := <-errs; err != nil {
			failed = append(failed, strings.ToLower(err.Error()))
		}
	}
	require.Len(t, failed, 1, "the database ends one of the two")
	require.Contains(t, failed[0], "deadlock")
}
