package outbox

import (
	"context"

	"github.com/postroom/postroom/internal/db"
)

// LockKeys takes a lock for each key that lasts until the transaction ends.
func (s *Store) LockKeys(ctx context.Context, tx db.Execer, keys []db.EventKey) error {
	if len(keys) == 0 {
		return nil
	}
	lock := db.For(s.names.Dialect, s.lockAdvisory, s.lockRows, noLocks)
	return lock(ctx, tx, s.names.LockNumbers(keys))
}

func (s *Store) lockAdvisory(ctx context.Context, tx db.Execer, numbers []int64) error {
	_, err := tx.ExecContext(ctx, s.locks.LockKeys, db.Ints(numbers))
	return err
}

func (s *Store) lockRows(ctx context.Context, tx db.Execer, slots []int64) error {
	_, err := tx.ExecContext(ctx, db.Fill(s.locks.LockKeys, db.Values{"slots": slots}))
	return err
}

// noLocks is for SQLite, where one transaction writes at a time.
func noLocks(context.Context, db.Execer, []int64) error { return nil }
