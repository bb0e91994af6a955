package replica

import (
	"context"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Unconfirmed locks and returns up to limit rows that a finished backfill did not send, and
// that no event has changed since before. It returns them as tombstones, with their
// versions. RowKey and Version are set.
func (r *Store) Unconfirmed(
	ctx context.Context, tx db.Queryer, runID string, before time.Time, limit int,
) ([]Change, error) {
	return db.Rows(ctx, tx, func(c *Change) []any { return []any{&c.RowKey, &c.Version} },
		r.sql.Unconfirmed, r.names.KeyArg(r.table.Replica), runID, before.UTC().Format(r.names.TimeLayout()), limit)
}

// Bury makes a tombstone of a row of the gate. The row keeps its version.
func (r *Store) Bury(ctx context.Context, tx db.Execer, rows []Change) error {
	for _, c := range rows {
		if _, err := tx.ExecContext(
			ctx, r.sql.Bury, r.names.KeyArg(r.table.Replica), r.names.KeyArg(c.RowKey),
		); err != nil {
			return err
		}
	}
	return nil
}

// Finish records that no more rows of a run, or of earlier runs, are expected.
func (r *Store) Finish(ctx context.Context, tx db.Execer, runID string) error {
	_, err := tx.ExecContext(ctx, r.sql.FinishRuns, r.names.KeyArg(r.table.Replica), runID)
	return err
}

// PruneTombstones deletes up to limit tombstones that are older than age, unless a
// backfill is running. The same statement checks that.
func (r *Store) PruneTombstones(ctx context.Context, q db.Execer, age time.Duration, limit int) (int64, error) {
	replica, us := r.names.KeyArg(r.table.Replica), age.Microseconds()
	twice := []any{replica, us, replica, us, replica, limit}
	args := db.For(r.names.Dialect, twice, []any{replica, us, replica, limit}, twice)
	result, err := q.ExecContext(ctx, r.sql.PruneTombstones, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
