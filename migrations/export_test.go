package migrations

import (
	"context"
	"database/sql"
	"time"
)

// This file exports what external tests need. They are in another package, because tests with databases use
// internal/dbtest, which imports this package.

// TestLock is the migration lock with times that a test chooses.
type TestLock struct {
	lock *tableLock
	plan *plan
	db   *sql.DB
}

// NewTestLock returns a lock that is not held yet. Its table exists.
func NewTestLock(ctx context.Context, db *sql.DB, d Dialect, o Options, ttl, beat time.Duration) (*TestLock, error) {
	p, err := newPlan(d, o)
	if err != nil {
		return nil, err
	}
	lock := newTableLock(db, p.sql)
	lock.ttl, lock.beat, lock.poll = ttl, beat, 10*time.Millisecond
	return &TestLock{lock: lock, plan: p, db: db}, lock.prepare(ctx)
}

func (l *TestLock) Acquire(ctx context.Context) error { return l.lock.acquire(ctx) }

func (l *TestLock) Hold(ctx context.Context) (context.Context, func()) { return l.lock.hold(ctx) }

// Up applies the files as if it held the lock, whoever holds it.
func (l *TestLock) Up(ctx context.Context) ([]Result, error) {
	return l.plan.up(ctx, l.db, l.lock)
}
