package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbopen"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines returns those that have all of the parts.
func (l *logged) lines(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

// A member's host is paused in the middle of a transaction. Its successor waits for the locks of that, for as long as
// the server takes to find out: the log must say so, once, with the session to end, and when it is over.
func TestAWaitForAMemberThatStandsStillIsLogged(t *testing.T) {
	type way struct {
		name string
		dead func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx)
		next func(ctx context.Context, b bench, ib *inbox.Inbox) error
	}
	ways := []way{
		{"a message", func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx) {
			_, err := ib.Accept(t.Context(), tx, order("1", "k"))
			require.NoError(t, err)
		}, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			_, err := ib.Process(ctx, b.DB, order("1", "k"), b.effect("1"))
			return err
		}},
		{"a batch", func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx) {
			_, err := ib.AcceptBatch(t.Context(), tx, []inbox.Message{order("2", "k"), order("3", "k")})
			require.NoError(t, err)
		}, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			calls := 0
			_, err := ib.ProcessBatch(ctx, b.DB, []inbox.Message{order("3", "k"), order("4", "k")}, b.applyAll(&calls))
			return err
		}},
		{"a partition that is held", func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx) {
			_, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 1)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "UPDATE inbox_offsets SET next_offset = 7")
			require.NoError(t, err)
		}, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			_, err := ib.ClaimPartition(ctx, b.DB, "orders", 1)
			return err
		}},
	}
	lockKey := func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx) {
		if b.count(t, "SELECT count(*) FROM inbox_blocked") == 0 {
			require.Equal(t, inbox.Parked, b.process(t, ib, order("poison", "blocked"), poison))
		}
		_, err := tx.ExecContext(t.Context(), "SELECT 1 FROM inbox_blocked FOR UPDATE")
		require.NoError(t, err)
	}
	ways = append(ways, []way{
		{"a message whose key is parked", lockKey, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			_, err := ib.Process(ctx, b.DB, order("5", "blocked"), b.effect("5"))
			return err
		}},
		{"a batch whose key is parked", lockKey, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			calls := 0
			_, err := ib.ProcessBatch(ctx, b.DB, []inbox.Message{order("6", "blocked"), order("7", "k")},
				b.applyAll(&calls))
			return err
		}},
		{"a replay", func(t *testing.T, b bench, ib *inbox.Inbox, tx *sql.Tx) {
			b.ask(t, "poison", "retry")
			lockKey(t, b, ib, tx)
		}, func(ctx context.Context, b bench, ib *inbox.Inbox) error {
			_, err := ib.Replay(ctx, b.DB, b.applying)
			return err
		}},
	}...)
	each(t, func(t *testing.T, b bench) {
		if b.Dialect == inbox.SQLite {
			t.Log("SQLite's writers are turned away after the busy timeout")
			return
		}
		for _, way := range ways {
			log := &logged{}
			ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithStallAfter(30*time.Millisecond),
				inbox.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
			tx := b.begin(t)
			var session int64
			mine := map[inbox.Dialect]string{
				inbox.PostgreSQL: "SELECT pg_backend_pid()", inbox.MySQL: "SELECT CONNECTION_ID()"}[b.Dialect]
			require.NoError(t, tx.QueryRowContext(t.Context(), mine).Scan(&session))
			way.dead(t, b, ib, tx)
			done := make(chan error, 1)
			go func() { done <- way.next(context.WithoutCancel(t.Context()), b, ib) }()
			said := []string{"level=WARN", "waits for the database", fmt.Sprintf("session %d (", session)}
			if b.Dialect == inbox.MySQL { // its list of locks is as old as 0.1 s, and may not have this one yet
				said = said[:2]
			}
			require.Eventually(t, func() bool { return len(log.lines(said...)) > 0 }, 20*time.Second,
				10*time.Millisecond, way.name)
			require.Empty(t, log.lines("is over"), way.name)
			require.NoError(t, tx.Rollback())
			require.NoError(t, <-done, way.name)
			require.Len(t, log.lines("waits for the database"), 1, way.name)
			require.Len(t, log.lines("level=INFO", "is over"), 1, way.name)
		}
	})
}

// A lock timeout ends the statement and not the wait, which is said once. And who does not wait says nothing.
func TestAWaitIsLoggedOnceOverLockTimeouts(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		if b.Dialect != inbox.MySQL {
			return
		}
		log := &logged{}
		ib := b.inbox(t, "billing", inbox.WithStallAfter(200*time.Millisecond),
			inbox.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		require.Equal(t, inbox.Applied, b.process(t, ib, order("0", "k"), b.effect("0")))
		tx := b.begin(t)
		_, err := ib.Accept(t.Context(), tx, order("1", "k"))
		require.NoError(t, err)
		var session int64
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&session))
		timeouts := make(chan struct{}, 100)
		db := b.impatient(t)
		done := make(chan error, 1)
		impatient := b.inbox(t, "billing", inbox.WithStallAfter(200*time.Millisecond),
			inbox.WithLogger(slog.New(slog.NewTextHandler(log, nil))),
			inbox.WithSleep(func(context.Context, time.Duration) error { timeouts <- struct{}{}; return nil }))
		go func() {
			_, err := impatient.Process(context.WithoutCancel(t.Context()), db, order("1", "k"), b.effect("1"))
			done <- err
		}()
		<-timeouts
		<-timeouts
		require.NoError(t, tx.Rollback())
		require.NoError(t, <-done)
		require.Len(t, log.lines("waits for the database"), 1)
		require.Len(t, log.lines("waits for the database", fmt.Sprintf("session %d (", session),
			fmt.Sprintf("KILL %d;", session)), 1)
		require.Len(t, log.lines("is over"), 1)
	})
}

// impatient is the same database with connections that wait for a lock for a second.
func (b bench) impatient(t *testing.T) *sql.DB {
	t.Helper()
	const size = 4
	target, err := dbopen.Open(t.Context(), b.URL, dbopen.WithMaxOpen(size))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, target.DB.Close()) })
	target.DB.SetMaxIdleConns(size)
	for range size {
		conn, err := target.DB.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "SET SESSION innodb_lock_wait_timeout = 1")
		require.NoError(t, err)
		defer conn.Close()
	}
	return target.DB
}
