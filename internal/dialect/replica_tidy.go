package dialect

import (
	"context"
	"time"
)

// Unconfirmed locks and returns up to limit rows that a finished backfill did not have
// and that nothing has spoken of since before; as tombstones, with the version that
// they have. RowKey and Version are set.
//
// The lock is what makes the removal safe: an Apply of the key that came first has moved
// applied_at and the row is no longer found; one that comes later finds a tombstone.
func (r *Replica) Unconfirmed(ctx context.Context, tx Queryer, runID string, before time.Time, limit int) ([]ReplicaChange, error) {
	rows, err := tx.QueryContext(ctx, r.names.Expand(`SELECT row_key, version FROM {inbox_replica_rows}
WHERE replica = `+r.names.Param(1)+` AND deleted_at IS NULL AND run_id < `+r.names.Param(2)+` AND applied_at < `+r.moment(3)+`
ORDER BY row_key LIMIT `+r.names.Param(4)+forUpdate(r.names)), r.names.KeyArg(r.table.Replica), runID, before.UTC().Format(r.names.TimeLayout()), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []ReplicaChange
	for rows.Next() {
		var c ReplicaChange
		if err := rows.Scan(&c.RowKey, &c.Version); err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// Bury makes a tombstone of a gate's row, which keeps its version.
func (r *Replica) Bury(ctx context.Context, tx Execer, rows []ReplicaChange) error {
	for _, c := range rows {
		if _, err := tx.ExecContext(ctx, r.names.Expand(`UPDATE {inbox_replica_rows} SET deleted_at = `+now(r.names)+` WHERE replica = `+r.names.Param(1)+` AND row_key = `+r.names.Param(2)),
			r.names.KeyArg(r.table.Replica), r.names.KeyArg(c.RowKey)); err != nil {
			return err
		}
	}
	return nil
}

// Finish notes that nothing of a run and of those before it is awaited any more.
func (r *Replica) Finish(ctx context.Context, tx Execer, runID string) error {
	_, err := tx.ExecContext(ctx, r.names.Expand(`UPDATE {inbox_replica_runs} SET finished_at = `+now(r.names)+` WHERE replica = `+r.names.Param(1)+
		` AND run_id <= `+r.names.Param(2)+` AND finished_at IS NULL`), r.names.KeyArg(r.table.Replica), runID)
	return err
}

// PruneTombstones deletes up to limit tombstones that are older than age, unless a
// backfill is under way; it looks at that in the same statement.
//
// The age is asked twice where the rows are chosen by a subquery: on PostgreSQL a DELETE
// that waited for the row looks at the outer condition alone again, and the row may have
// been made and deleted once more meanwhile.
func (r *Replica) PruneTombstones(ctx context.Context, db Execer, age time.Duration, limit int) (int64, error) {
	replica := r.names.KeyArg(r.table.Replica)
	var args []any
	param := func(v any) string {
		args = append(args, v)
		return r.names.Param(len(args))
	}
	old := func() string {
		where := ` WHERE replica = ` + param(replica) + ` AND deleted_at < `
		switch us := param(age.Microseconds()); r.names.Dialect {
		case PostgreSQL:
			return where + `clock_timestamp() - make_interval(secs => ` + us + `::double precision / 1000000)`
		case MySQL:
			return where + `utc_timestamp(6) - INTERVAL ` + us + ` MICROSECOND`
		default:
			return where + `strftime('%Y-%m-%dT%H:%M:%f', 'now', (-(` + us + ` / 1000000)) || ' seconds') || '000Z'`
		}
	}
	idle := func() string {
		return ` AND NOT EXISTS (SELECT 1 FROM {inbox_replica_runs} AS u WHERE u.replica = ` + param(replica) + ` AND u.finished_at IS NULL)`
	}
	query := `DELETE FROM {inbox_replica_rows}` + old()
	if r.names.Dialect == MySQL {
		query += idle() + ` LIMIT ` + param(limit)
	} else {
		query += ` AND row_key IN (SELECT row_key FROM {inbox_replica_rows}` + old() + idle() + ` LIMIT ` + param(limit) + `)`
	}
	result, err := db.ExecContext(ctx, r.names.Expand(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
