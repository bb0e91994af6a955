package archive

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Store reads the archive of one installation. Safe for concurrent use.
type Store struct {
	pool   *sql.DB
	names  db.Names
	sql    statements
	locks  lockStatements   // empty on SQLite
	sqlite sqliteStatements // empty elsewhere
}

// New returns the store of the installation n.
func New(pool *sql.DB, n db.Names) (*Store, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	s := &Store{pool: pool, names: n}
	both := []any{&s.sql, &s.locks}
	return s, db.Load(files, n, db.For(n.Dialect, both, both, []any{&s.sql, &s.sqlite})...)
}

// Now returns the time of the database's clock, as in delivered_at.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now db.Moment
	err := s.pool.QueryRowContext(ctx, s.sql.Now).Scan(&now)
	return time.Time(now), err
}

// Last returns the highest seq of the archive, 0 if it is empty.
func (s *Store) Last(ctx context.Context) (seq int64, err error) {
	err = s.pool.QueryRowContext(ctx, s.sql.Last).Scan(&seq)
	return seq, err
}

// PutBack inserts these rows of the archive into outbox_events again, in order of seq, in
// one transaction, and returns how many: some may have been purged meanwhile. With newIDs
// each gets a new event id. created_at stays, because consumers may use it to see which
// of two events is newer.
//
// It first takes the locks of StrictKeyOrder, even if the writers do not. So a replay
// comes before or after a writer's transaction, and not in the middle of it (hazard
// move-beside-writer).
func (s *Store) PutBack(ctx context.Context, rows []Row, newIDs bool) (n int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	seqs := make([]int64, len(rows))
	for i, r := range rows {
		seqs[i] = r.Seq
	}
	// Repeat it if the database ended the transaction because of another one.
	const tries = 4
	for range tries {
		if n, err = s.putBack(ctx, seqs, newIDs); err == nil || !db.IsSerialization(err) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (s *Store) putBack(ctx context.Context, seqs []int64, newIDs bool) (int64, error) {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // after Commit it does nothing
	if s.sqlite.FirstWrite != "" {
		if _, err := tx.ExecContext(ctx, s.sqlite.FirstWrite); err != nil {
			return 0, err
		}
	}
	values := db.Values{"seqs": seqs}
	keys, err := db.Rows(ctx, tx, func(k *db.EventKey) []any { return []any{&k.Topic, &k.Key} },
		db.Fill(s.sql.Keys, values))
	if err != nil {
		return 0, err
	}
	if err := s.lockKeys(ctx, tx, keys); err != nil {
		return 0, fmt.Errorf("lock the keys: %w", err)
	}
	statement := s.sql.PutBack
	if newIDs {
		statement = s.sql.PutBackWithNewIDs
	}
	n, err := db.Affected(tx.ExecContext(ctx, db.Fill(statement, values)))
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	return n, nil
}

func (s *Store) lockKeys(ctx context.Context, tx *sql.Tx, keys []db.EventKey) error {
	if len(keys) == 0 || s.locks.LockKeys == "" {
		return nil
	}
	numbers := s.names.LockNumbers(keys)
	args := db.For(s.names.Dialect, []any{db.Ints(numbers)}, nil, nil)
	_, err := tx.ExecContext(ctx, db.Fill(s.locks.LockKeys, db.Values{"numbers": numbers}), args...)
	return err
}
