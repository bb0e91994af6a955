package dialect

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Hear notes that a backfill is under way; from then on no tombstone goes.
//
// MySQL locks a row that is there already until the transaction ends, even if it changes
// nothing, and all partitions of a backfill would wait for one another there: it looks first.
func (r *Replica) Hear(ctx context.Context, tx Queryer, runID string) error {
	if r.names.Dialect == MySQL {
		if known, err := r.heard(ctx, tx, runID); known || err != nil {
			return err
		}
	}
	query := `INSERT INTO {inbox_replica_runs} (replica, run_id) VALUES (` + r.names.Param(1) + `, ` + r.names.Param(2) + `)`
	if r.names.Dialect == MySQL {
		query += ` ON DUPLICATE KEY UPDATE run_id = VALUES(run_id)`
	} else {
		query += ` ON CONFLICT (replica, run_id) DO NOTHING`
	}
	_, err := tx.ExecContext(ctx, r.names.Expand(query), r.names.KeyArg(r.table.Replica), runID)
	return err
}

func (r *Replica) heard(ctx context.Context, tx Queryer, runID string) (bool, error) {
	rows, err := tx.QueryContext(ctx, r.names.Expand(`SELECT 1 FROM {inbox_replica_runs} WHERE replica = ? AND run_id = ?`), r.names.KeyArg(r.table.Replica), runID)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// End notes what an end marker says. Once more is the same.
func (r *Replica) End(ctx context.Context, tx Queryer, e ReplicaEnd) error {
	if err := r.Hear(ctx, tx, e.RunID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, r.names.Expand(`UPDATE {inbox_replica_runs} SET sent = `+r.names.Param(1)+`, started_at = `+r.moment(2)+
		` WHERE replica = `+r.names.Param(3)+` AND run_id = `+r.names.Param(4)),
		e.Sent, e.Started.UTC().Format(r.names.TimeLayout()), r.names.KeyArg(r.table.Replica), e.RunID)
	return err
}

// moment is a parameter that has a time as text.
func (r *Replica) moment(i int) string {
	if r.names.Dialect == PostgreSQL {
		return "$" + strconv.Itoa(i) + "::text::timestamptz"
	}
	return "?"
}

// ReplicaRun is a backfill that is not finished here.
type ReplicaRun struct {
	RunID     string
	Sent      int64 // -1: the end marker has not come
	Started   time.Time
	Confirmed int64 // rows of the run that have arrived
	Finished  bool
}

// Runs lists the backfills of the replica, the newest first.
func (r *Replica) Runs(ctx context.Context, db Queryer) ([]ReplicaRun, error) {
	rows, err := db.QueryContext(ctx, r.names.Expand(`SELECT run_id, COALESCE(sent, -1), `+r.names.TimeText("started_at")+`, finished_at IS NOT NULL
FROM {inbox_replica_runs} WHERE replica = `+r.names.Param(1)+` ORDER BY run_id DESC`), r.names.KeyArg(r.table.Replica))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var runs []ReplicaRun
	for rows.Next() {
		var run ReplicaRun
		var started momentText
		if err := rows.Scan(&run.RunID, &run.Sent, &started, &run.Finished); err != nil {
			return nil, err
		}
		run.Started = time.Time(started)
		runs = append(runs, run)
	}
	return runs, rows.Err()
}

// Confirmed counts the rows whose newest backfill is runID.
func (r *Replica) Confirmed(ctx context.Context, db Queryer, runID string) (n int64, err error) {
	rows, err := db.QueryContext(ctx, r.names.Expand(`SELECT count(*) FROM {inbox_replica_rows} WHERE replica = `+r.names.Param(1)+` AND run_id = `+r.names.Param(2)),
		r.names.KeyArg(r.table.Replica), runID)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return 0, fmt.Errorf("no count: %w", rows.Err())
	}
	return n, rows.Scan(&n)
}
