package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Hear records that a backfill is running. From then on no tombstone is deleted.
//
// MySQL locks a row that exists already until the transaction ends, even if the statement
// changes nothing. All partitions of a backfill would then wait for each other. So Hear reads
// first.
func (r *Store) Hear(ctx context.Context, tx db.Queryer, runID string) error {
	if r.names.Dialect == db.MySQL {
		if known, err := r.heard(ctx, tx, runID); known || err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, r.sql.StartRun, r.names.KeyArg(r.table.Replica), runID)
	return err
}

func (r *Store) heard(ctx context.Context, tx db.Queryer, runID string) (bool, error) {
	rows, err := tx.QueryContext(ctx, r.mysql.HasRun, r.names.KeyArg(r.table.Replica), runID)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// End records what an end marker says. It may be repeated.
func (r *Store) End(ctx context.Context, tx db.Queryer, e End) error {
	if err := r.Hear(ctx, tx, e.RunID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, r.sql.EndRun,
		e.Sent, e.Started.UTC().Format(r.names.TimeLayout()), r.names.KeyArg(r.table.Replica), e.RunID)
	return err
}

// Run is a backfill that is not finished here.
type Run struct {
	RunID     string
	Sent      int64 // -1: the end marker has not come
	Started   time.Time
	Confirmed int64 // rows of the run that have arrived
	Finished  bool
}

// Runs lists the backfills of the replica, the newest first.
func (r *Store) Runs(ctx context.Context, q db.Queryer) ([]Run, error) {
	return db.Rows(ctx, q, func(run *Run) []any {
		return []any{&run.RunID, &run.Sent, (*db.Moment)(&run.Started), &run.Finished}
	}, r.sql.Runs, r.names.KeyArg(r.table.Replica))
}

// Confirmed counts the rows whose newest backfill is runID.
func (r *Store) Confirmed(ctx context.Context, q db.Queryer, runID string) (n int64, err error) {
	rows, err := q.QueryContext(ctx, r.sql.Confirmed, r.names.KeyArg(r.table.Replica), runID)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return 0, fmt.Errorf("no count: %w", rows.Err())
	}
	return n, rows.Scan(&n)
}
