package migrations

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"regexp"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// tableLock lets one process at a time apply migrations. It is a lease in a table of
// one row, by the database's clock, so it outlives connections and poolers, and ends
// by itself when its holder dies.
//
// goose has a lock of this kind for PostgreSQL and MySQL. It is not used because it is
// taken while goose holds a connection, which never ends when the pool has one (as
// for SQLite it often does); because it does not quote a schema's name, and compares
// times of different sessions' zones on MySQL; and because its holder goes on after
// losing it (hazard two-migrators). Here the version of a file is recorded only while the lock is held: see
// store.Insert.
type tableLock struct {
	db    *sql.DB
	sql   bookkeeping
	owner string
	ttl   time.Duration // how long a dead holder keeps others waiting
	beat  time.Duration // how often a living one renews
	poll  time.Duration // how often the others look
}

func newTableLock(db *sql.DB, b bookkeeping) *tableLock {
	return &tableLock{
		db: db, sql: b, owner: newOwner(), ttl: 30 * time.Second, beat: 5 * time.Second, poll: 100 * time.Millisecond,
	}
}

var notInOwner = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// newOwner returns a fresh name that tells an operator where to look. It goes into
// SQL as it is, so the host's name is cleaned.
func newOwner() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // crypto/rand never fails (Go 1.24)
	host, _ := os.Hostname() // an unknown host is an empty one
	return fmt.Sprintf("%.100s-%d-%s", notInOwner.ReplaceAllString(host, ""), os.Getpid(), hex.EncodeToString(random))
}

// prepare makes the lock's table and its row. The row is made once and then only
// updated: processes that insert and delete the same row deadlock on InnoDB.
func (l *tableLock) prepare(ctx context.Context) error {
	return l.retry(ctx, func() error {
		var one int
		look := l.sql.names.Expand("SELECT 1 FROM {postroom_schema_lock} WHERE id = 1")
		if err := l.db.QueryRowContext(ctx, look).Scan(&one); err == nil {
			return nil
		}
		if _, err := l.db.ExecContext(ctx, l.sql.createLock); err != nil {
			// IF NOT EXISTS looks before it creates: when two processes look at the
			// same time, PostgreSQL refuses the second one. Its table is there then.
			if again := l.db.QueryRowContext(ctx, look).Scan(&one); again != nil && !errors.Is(again, sql.ErrNoRows) {
				return err
			}
		}
		_, err := l.db.ExecContext(ctx, l.sql.insertLock)
		return err
	})
}

// free is true in SQL when nobody holds the lock. An expiry further away than anyone
// asks for means that the clock was set back; the holder may be long dead.
func (l *tableLock) free() string {
	return fmt.Sprintf(
		"(owner IS NULL OR expires_at IS NULL OR expires_at < %s OR expires_at > %s)", l.sql.now,
		l.sql.after(2*l.ttl),
	)
}

// acquire waits until the lock is ours, or ctx is done.
func (l *tableLock) acquire(ctx context.Context) error {
	holder := "unknown"
	for {
		got, current, err := l.try(ctx)
		if got {
			return nil
		}
		if current != "" {
			holder = current
		}
		if err != nil && ctx.Err() == nil && !dialect.IsSerialization(err) {
			return fmt.Errorf("lock %s: %w", l.sql.names.Plain(lockTable), err)
		}
		if err := l.pause(ctx); err != nil {
			return fmt.Errorf("wait for the lock in %s, held by %s: %w", l.sql.names.Plain(lockTable), holder, err)
		}
	}
}

// try takes the lock if it is free. It looks before it writes, because on SQLite a
// waiting process that wrote would be in the holder's way.
func (l *tableLock) try(ctx context.Context) (got bool, holder string, err error) {
	look := l.sql.names.Expand("SELECT owner FROM {postroom_schema_lock} WHERE id = 1 AND NOT " + l.free())
	err = l.db.QueryRowContext(ctx, look).Scan(&holder)
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return false, holder, err
	}
	take := l.sql.names.Expand(
		fmt.Sprintf("UPDATE {postroom_schema_lock} SET owner = '%s', expires_at = %s WHERE id = 1 AND %s",
			l.owner, l.sql.after(l.ttl), l.free()),
	)
	n, err := affected(l.db.ExecContext(ctx, take))
	return n == 1, "", err
}

// renew extends the lock; ErrLockLost if another process has it. In a transaction it
// also keeps the lock's row from being taken until the transaction ends.
func (l *tableLock) renew(ctx context.Context, db dialect.Execer) error {
	n, err := affected(db.ExecContext(ctx, l.sql.names.Expand(fmt.Sprintf(
		"UPDATE {postroom_schema_lock} SET expires_at = %s WHERE id = 1 AND owner = '%s'", l.sql.after(l.ttl),
		l.owner,
	))))
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrLockLost
	}
	return nil
}

// hold renews the lock until release is called. The context it returns is cancelled
// when the lock is lost. A renewal that fails otherwise is tried again at the next
// beat: with a pool of one connection it waits for the migration to end, and a file
// that took longer than the lease is caught when its version is recorded.
func (l *tableLock) hold(ctx context.Context) (held context.Context, release func()) {
	held, cancel := context.WithCancelCause(ctx)
	beating, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(l.beat)
		defer ticker.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-ticker.C:
				if err := l.renew(beating, l.db); errors.Is(err, ErrLockLost) {
					cancel(ErrLockLost)
					return
				}
			}
		}
	}()
	return held, func() {
		stop()
		<-done
		cancel(nil)
		l.release(ctx)
	}
}

// release lets the next process in at once. If it fails the lease does, later; the
// migrations are applied either way, so there is nothing to report.
func (l *tableLock) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = l.retry(ctx, func() error {
		_, err := l.db.ExecContext(ctx, l.sql.names.Expand(fmt.Sprintf(
			"UPDATE {postroom_schema_lock} SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '%s'",
			l.owner,
		)))
		return err
	})
}

// retry repeats what another transaction was in the way of. It gives up after a
// while: on SQLite an application may hold the whole database.
func (l *tableLock) retry(ctx context.Context, f func() error) error {
	const tries = 50
	for i := 1; ; i++ {
		err := f()
		if err == nil || !dialect.IsSerialization(err) || i == tries {
			return err
		}
		if l.pause(ctx) != nil {
			return err
		}
	}
}

// pause waits for one poll, a little more or less, so that waiting processes do not
// come back all at once.
func (l *tableLock) pause(ctx context.Context) error {
	timer := time.NewTimer(l.poll/2 + time.Duration(mathrand.Int64N(int64(l.poll))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
