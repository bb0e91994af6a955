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

	"github.com/postroom/postroom/internal/db"
)

// tableLock lets one process at a time apply migrations. It is a lease in a table with one row, by the database's
// clock. So it does not depend on a connection, works through poolers, and ends by itself when its holder dies.
//
// Why it is not the relay's lease, goose's lock or an advisory lock:
//
//   - The relay's lease is a row in outbox_leases. Migrations create that table, and a consumer's database does not
//     have it. The relay's lease also has an epoch, the server's identity and the next owner, and each of its writers
//     locks the row. Migrations need none of that: they check the lock when they record a version (see store.Insert).
//     The two share only the condition in free.
//   - An advisory lock belongs to a session. Behind a pooler the session changes with each transaction, and a pool
//     with one connection, which SQLite often has, could not run the migration. MySQL's GET_LOCK belongs to one node of
//     a cluster, and SQLite has no such lock. So this table would stay, as a third algorithm.
//   - goose takes its lock while it holds a connection, which waits forever in a pool of one. It does not quote a
//     schema's name. On MySQL it compares times of different sessions' time zones. Its holder continues after it has
//     lost the lock (hazard two-migrators). Here a version is recorded only while the lock is held.
type tableLock struct {
	db    *sql.DB
	sql   bookkeeping
	owner string
	ttl   time.Duration // the others wait this long for a dead holder
	beat  time.Duration // time between two renewals
	poll  time.Duration // time between two attempts of the others
}

func newTableLock(db *sql.DB, b bookkeeping) *tableLock {
	return &tableLock{
		db: db, sql: b, owner: newOwner(), ttl: 30 * time.Second, beat: 5 * time.Second, poll: 100 * time.Millisecond,
	}
}

var notInOwner = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// newOwner returns a new name that shows an operator the host and the process. It becomes a part of SQL, so unsafe
// characters of the host's name are removed.
func newOwner() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // crypto/rand never fails (Go 1.24)
	host, _ := os.Hostname() // an unknown host is an empty one
	return fmt.Sprintf("%.100s-%d-%s", notInOwner.ReplaceAllString(host, ""), os.Getpid(), hex.EncodeToString(random))
}

// prepare creates the lock's table and its row. The row is inserted once and then only updated, because processes that
// insert and delete the same row deadlock on InnoDB.
func (l *tableLock) prepare(ctx context.Context) error {
	return l.retry(ctx, func() error {
		var one int
		look := l.sql.names.Expand("SELECT 1 FROM {postroom_schema_lock} WHERE id = 1")
		if err := l.db.QueryRowContext(ctx, look).Scan(&one); err == nil {
			return nil
		}
		if _, err := l.db.ExecContext(ctx, l.sql.createLock); err != nil {
			// IF NOT EXISTS checks before it creates. When two processes check at the same time, the second one gets an
			// error from PostgreSQL, and the table exists.
			if again := l.db.QueryRowContext(ctx, look).Scan(&one); again != nil && !errors.Is(again, sql.ErrNoRows) {
				return err
			}
		}
		_, err := l.db.ExecContext(ctx, l.sql.insertLock)
		return err
	})
}

// free returns the SQL condition that nobody holds the lock. An expiry that is later than any holder sets means that
// the database's clock was set back; the holder may have died long ago.
func (l *tableLock) free() string {
	return fmt.Sprintf(
		"(owner IS NULL OR expires_at IS NULL OR expires_at < %s OR expires_at > %s)", l.sql.now,
		l.sql.after(2*l.ttl),
	)
}

// acquire waits until this process has the lock, or until ctx ends.
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
		if err != nil && ctx.Err() == nil && !db.IsSerialization(err) {
			return fmt.Errorf("lock %s: %w", l.sql.names.Plain(lockTable), err)
		}
		if err := l.pause(ctx); err != nil {
			return fmt.Errorf("wait for the lock in %s, held by %s: %w", l.sql.names.Plain(lockTable), holder, err)
		}
	}
}

// try takes the lock if it is free. It reads before it writes, because on SQLite a waiting process that writes would
// block the holder.
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

// renew extends the lock. It returns ErrLockLost if another process has it. In a transaction it also locks the row, so
// that nobody can take the lock until the transaction ends.
func (l *tableLock) renew(ctx context.Context, db db.Execer) error {
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

// hold renews the lock until release is called. The returned context is cancelled when the lock is lost. Another error
// of a renewal is ignored until the next one. With a pool of one connection a renewal waits for the end of the
// migration; if a file took longer than the lease, recording its version finds the lost lock.
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

// release frees the lock at once. If that fails, the lock expires later. The migrations are applied in both cases, so
// the error is not reported.
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

// retry repeats f while it conflicts with another transaction. It gives up after some time, because on SQLite an
// application may hold the whole database.
func (l *tableLock) retry(ctx context.Context, f func() error) error {
	const tries = 50
	for i := 1; ; i++ {
		err := f()
		if err == nil || !db.IsSerialization(err) || i == tries {
			return err
		}
		if l.pause(ctx) != nil {
			return err
		}
	}
}

// pause waits for about one poll. The time is random, so that waiting processes do not all try at the same moment.
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
