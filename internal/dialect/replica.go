package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ReplicaTable is the table that a replica writes. All names must be valid.
type ReplicaTable struct {
	Replica string   // its name in inbox_replica_rows
	Schema  string   // PostgreSQL only
	Table   string   // where the rows go
	Key     []string // the primary key, or a unique one
	Columns []string // all others
}

// ReplicaChange is a version of a row, or its deletion.
type ReplicaChange struct {
	RowKey  string // the key as text
	Version int64
	Deleted bool
	RunID   string // the backfill that sent it; empty: none
	Key     []any  // values of the key's columns
	Values  []any  // of the others; nil when deleted
}

// ReplicaEnd is what an end marker of a backfill says.
type ReplicaEnd struct {
	RunID   string
	Sent    int64
	Started time.Time
}

// Replica writes one replica. Safe for concurrent use.
type Replica struct {
	names Names
	table ReplicaTable
	name  string // quoted
}

// ValidIdentifier reports whether a name can be used for a table or a column.
func ValidIdentifier(name string) bool { return identifier.MatchString(name) }

// NewReplica returns the writer of t for the installation n.
func NewReplica(n Names, t ReplicaTable) (*Replica, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return &Replica{names: n, table: t, name: Names{Dialect: n.Dialect, Schema: t.Schema}.Table(t.Table)}, nil
}

// replicaBatch is the largest number of rows in one statement; with many columns it
// is fewer, for SQLite's limit of parameters.
func (r *Replica) batch(columns int) int { return max(1, min(1000, 32000/columns)) }

// Claim passes changes, sorted by RowKey and each key once, through the gate and returns
// the keys whose version is new. The rows stay locked until the transaction ends: of two
// transactions that bring versions of one key the second waits here for the first, and
// only then reads what it committed.
func (r *Replica) Claim(ctx context.Context, tx Queryer, changes []ReplicaChange) (map[string]bool, error) {
	won := make(map[string]bool, len(changes))
	for part := range slices.Chunk(changes, r.batch(6)) {
		if err := r.claim(ctx, tx, part, won); err != nil {
			return nil, err
		}
	}
	return won, nil
}

func (r *Replica) claim(ctx context.Context, tx Queryer, part []ReplicaChange, won map[string]bool) error {
	token := uuid.NewString()
	var b strings.Builder
	b.WriteString(`INSERT INTO {inbox_replica_rows} (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES `)
	args := make([]any, 0, len(part)*5)
	now := r.names.now()
	for i, c := range part {
		if i > 0 {
			b.WriteString(", ")
		}
		deleted := "NULL"
		if c.Deleted {
			deleted = now
		}
		b.WriteString("(" + r.names.param(i*5+1) + ", " + r.names.param(i*5+2) + ", " + r.names.param(i*5+3) + ", " + deleted + ", " + now + ", " +
			r.names.param(i*5+4) + ", " + r.names.param(i*5+5) + ")")
		args = append(args, r.names.keyArg(r.table.Replica), r.names.keyArg(c.RowKey), c.Version, c.RunID, token)
	}
	if r.names.Dialect == MySQL {
		// Assignments run from left to right, so the version comes last.
		b.WriteString(` ON DUPLICATE KEY UPDATE
deleted_at = IF(VALUES(version) > version, VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
claim_token = IF(VALUES(version) > version, VALUES(claim_token), claim_token),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))`)
		if _, err := tx.ExecContext(ctx, r.names.Expand(b.String()), args...); err != nil {
			return err
		}
		b.Reset()
		b.WriteString(`SELECT row_key FROM {inbox_replica_rows} WHERE replica = ? AND claim_token = ? AND row_key IN (?` + strings.Repeat(", ?", len(part)-1) + `)`)
		args = []any{r.names.keyArg(r.table.Replica), token}
		for _, c := range part {
			args = append(args, r.names.keyArg(c.RowKey))
		}
		return r.winners(ctx, tx, won, b.String(), args)
	}
	greatest := "greatest"
	if r.names.Dialect == SQLite {
		greatest = "max"
	}
	b.WriteString(` ON CONFLICT (replica, row_key) DO UPDATE SET
version = ` + greatest + `({inbox_replica_rows}.version, excluded.version),
deleted_at = CASE WHEN excluded.version > {inbox_replica_rows}.version THEN excluded.deleted_at ELSE {inbox_replica_rows}.deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > {inbox_replica_rows}.version THEN excluded.claim_token ELSE {inbox_replica_rows}.claim_token END,
run_id = ` + greatest + `({inbox_replica_rows}.run_id, excluded.run_id)
RETURNING CASE WHEN claim_token = ` + r.names.param(len(args)+1) + ` THEN row_key ELSE NULL END`)
	return r.winners(ctx, tx, won, b.String(), append(args, token))
}

func (r *Replica) winners(ctx context.Context, tx Queryer, won map[string]bool, query string, args []any) error {
	rows, err := tx.QueryContext(ctx, r.names.Expand(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key sql.NullString
		if err := rows.Scan(&key); err != nil {
			return err
		}
		if key.Valid {
			won[key.String] = true
		}
	}
	return rows.Err()
}

// now is the database's clock, as an expression.
func (n Names) now() string {
	switch n.Dialect {
	case PostgreSQL:
		return "clock_timestamp()"
	case MySQL:
		return "utc_timestamp(6)"
	default:
		return "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
	}
}

// Upsert writes rows that Claim let through.
func (r *Replica) Upsert(ctx context.Context, tx Execer, changes []ReplicaChange) error {
	columns := slices.Concat(r.table.Key, r.table.Columns)
	for part := range slices.Chunk(changes, r.batch(len(columns))) {
		var b strings.Builder
		b.WriteString("INSERT INTO " + r.name + " (" + r.list(columns) + ") VALUES ")
		args := make([]any, 0, len(part)*len(columns))
		for i, c := range part {
			if i > 0 {
				b.WriteString(", ")
			}
			r.tuple(&b, len(args), len(columns))
			args = append(append(args, c.Key...), c.Values...)
		}
		b.WriteString(r.overwrite())
		if _, err := tx.ExecContext(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replica) overwrite() string {
	columns := r.table.Columns
	if len(columns) == 0 {
		columns = r.table.Key[:1]
	}
	sets := make([]string, len(columns))
	for i, c := range columns {
		q := r.names.quote(c)
		if r.names.Dialect == MySQL {
			sets[i] = q + " = VALUES(" + q + ")"
		} else {
			sets[i] = q + " = excluded." + q
		}
	}
	if r.names.Dialect == MySQL {
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	}
	return " ON CONFLICT (" + r.list(r.table.Key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func (r *Replica) tuple(b *strings.Builder, after, count int) {
	if r.names.Dialect == PostgreSQL {
		writeNumbered(b, after, count)
		return
	}
	b.WriteString("(?" + strings.Repeat(", ?", count-1) + ")")
}

func (r *Replica) list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = r.names.quote(c)
	}
	return strings.Join(quoted, ", ")
}

// Delete removes rows that Claim let through.
func (r *Replica) Delete(ctx context.Context, tx Execer, changes []ReplicaChange) error {
	for part := range slices.Chunk(changes, r.batch(len(r.table.Key))) {
		var b strings.Builder
		var args []any
		if len(r.table.Key) == 1 {
			b.WriteString("DELETE FROM " + r.name + " WHERE " + r.names.quote(r.table.Key[0]) + " IN ")
			r.tuple(&b, 0, len(part))
			for _, c := range part {
				args = append(args, c.Key[0])
			}
		} else {
			b.WriteString("DELETE FROM " + r.name + " WHERE ")
			for i, c := range part {
				if i > 0 {
					b.WriteString(" OR ")
				}
				b.WriteString("(")
				for k, column := range r.table.Key {
					if k > 0 {
						b.WriteString(" AND ")
					}
					args = append(args, c.Key[k])
					b.WriteString(r.names.quote(column) + " = " + r.names.param(len(args)))
				}
				b.WriteString(")")
			}
		}
		if _, err := tx.ExecContext(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

// Hear notes that a backfill is under way; from then on no tombstone goes.
func (r *Replica) Hear(ctx context.Context, tx Execer, runID string) error {
	query := `INSERT INTO {inbox_replica_runs} (replica, run_id) VALUES (` + r.names.param(1) + `, ` + r.names.param(2) + `)`
	if r.names.Dialect == MySQL {
		query += ` ON DUPLICATE KEY UPDATE run_id = VALUES(run_id)`
	} else {
		query += ` ON CONFLICT (replica, run_id) DO NOTHING`
	}
	_, err := tx.ExecContext(ctx, r.names.Expand(query), r.names.keyArg(r.table.Replica), runID)
	return err
}

// End notes what an end marker says. Once more is the same.
func (r *Replica) End(ctx context.Context, tx Execer, e ReplicaEnd) error {
	if err := r.Hear(ctx, tx, e.RunID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, r.names.Expand(`UPDATE {inbox_replica_runs} SET sent = `+r.names.param(1)+`, started_at = `+r.moment(2)+
		` WHERE replica = `+r.names.param(3)+` AND run_id = `+r.names.param(4)),
		e.Sent, e.Started.UTC().Format(r.names.timeLayout()), r.names.keyArg(r.table.Replica), e.RunID)
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
	rows, err := db.QueryContext(ctx, r.names.Expand(`SELECT run_id, COALESCE(sent, -1), `+r.names.timeText("started_at")+`, finished_at IS NOT NULL
FROM {inbox_replica_runs} WHERE replica = `+r.names.param(1)+` ORDER BY run_id DESC`), r.names.keyArg(r.table.Replica))
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
	rows, err := db.QueryContext(ctx, r.names.Expand(`SELECT count(*) FROM {inbox_replica_rows} WHERE replica = `+r.names.param(1)+` AND run_id = `+r.names.param(2)),
		r.names.keyArg(r.table.Replica), runID)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return 0, fmt.Errorf("no count: %w", rows.Err())
	}
	return n, rows.Scan(&n)
}
