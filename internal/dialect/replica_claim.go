package dialect

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Claim passes changes, sorted by RowKey and each key once, through the gate and returns
// the keys whose version is new, or for a change with Again the same as that of a row which
// is not deleted. The rows stay locked until the transaction ends: of two
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
	// The first letter goes through the gate with the change, and says what may win.
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	again, newer := "a"+id, "n"+id
	var b strings.Builder
	b.WriteString(`INSERT INTO {inbox_replica_rows} (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES `)
	args := make([]any, 0, len(part)*5)
	now := now(r.names)
	for i, c := range part {
		if i > 0 {
			b.WriteString(", ")
		}
		deleted := "NULL"
		if c.Deleted {
			deleted = now
		}
		b.WriteString("(" + r.names.Param(i*5+1) + ", " + r.names.Param(i*5+2) + ", " + r.names.Param(i*5+3) + ", " + deleted + ", " + now + ", " +
			r.names.Param(i*5+4) + ", " + r.names.Param(i*5+5) + ")")
		token := newer
		if c.Again && !c.Deleted {
			token = again
		}
		args = append(args, r.names.KeyArg(r.table.Replica), r.names.KeyArg(c.RowKey), c.Version, c.RunID, token)
	}
	if r.names.Dialect == MySQL {
		// Assignments run from left to right, and each sees what those before it set: the
		// version and deleted_at come after all that asks whether the change wins.
		wins := `VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a'`
		b.WriteString(` ON DUPLICATE KEY UPDATE
claim_token = IF(` + wins + `, VALUES(claim_token), claim_token),
deleted_at = IF(` + wins + `, VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))`)
		if _, err := tx.ExecContext(ctx, r.names.Expand(b.String()), args...); err != nil {
			return err
		}
		b.Reset()
		b.WriteString(`SELECT row_key FROM {inbox_replica_rows} WHERE replica = ? AND claim_token IN (?, ?) AND row_key IN (?` + strings.Repeat(", ?", len(part)-1) + `)`)
		args = []any{r.names.KeyArg(r.table.Replica), again, newer}
		for _, c := range part {
			args = append(args, r.names.KeyArg(c.RowKey))
		}
		return r.winners(ctx, tx, won, b.String(), args)
	}
	greatest := "greatest"
	if r.names.Dialect == SQLite {
		greatest = "max"
	}
	// Every expression sees the row as it was.
	wins := `excluded.version > {inbox_replica_rows}.version OR excluded.version = {inbox_replica_rows}.version
  AND {inbox_replica_rows}.deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a'`
	b.WriteString(` ON CONFLICT (replica, row_key) DO UPDATE SET
version = ` + greatest + `({inbox_replica_rows}.version, excluded.version),
deleted_at = CASE WHEN ` + wins + ` THEN excluded.deleted_at ELSE {inbox_replica_rows}.deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN ` + wins + ` THEN excluded.claim_token ELSE {inbox_replica_rows}.claim_token END,
run_id = ` + greatest + `({inbox_replica_rows}.run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (` + r.names.Param(len(args)+1) + `, ` + r.names.Param(len(args)+2) + `) THEN row_key ELSE NULL END`)
	return r.winners(ctx, tx, won, b.String(), append(args, again, newer))
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
