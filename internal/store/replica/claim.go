package replica

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Claim compares the versions of changes, sorted by RowKey and each key once, with the known
// ones. It returns the keys whose version is newer. For a change with Again it also returns
// the key of a row with the same version that is not deleted. The rows stay locked until the
// transaction ends. If two transactions have versions of one key, the second one waits here
// for the first, and then reads what it committed.
func (r *Store) Claim(ctx context.Context, tx db.Queryer, changes []Change) (map[string]bool, error) {
	won := make(map[string]bool, len(changes))
	for part := range slices.Chunk(changes, r.batch(6)) {
		if err := r.claim(ctx, tx, part, won); err != nil {
			return nil, err
		}
	}
	return won, nil
}

func (r *Store) claim(ctx context.Context, tx db.Queryer, part []Change, won map[string]bool) error {
	// The first letter goes through the gate with the change, and says what may win.
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	again, newer := "a"+id, "n"+id
	rows := make([]string, len(part))
	args := make([]any, 0, len(part)*5+2)
	for i, c := range part {
		rows[i] = r.sql.ClaimRow
		if c.Deleted {
			rows[i] = r.sql.ClaimTombstone
		}
		token := newer
		if c.Again && !c.Deleted {
			token = again
		}
		args = append(args, r.names.KeyArg(r.table.Replica), r.names.KeyArg(c.RowKey), c.Version, c.RunID, token)
	}
	query := r.names.Numbered(r.sql.ClaimHead + " " + strings.Join(rows, ", ") + " " + r.sql.ClaimTail)
	if r.names.Dialect != db.MySQL {
		return r.winners(ctx, tx, won, query, append(args, again, newer))
	}
	// MySQL has no RETURNING.
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return err
	}
	args = []any{r.names.KeyArg(r.table.Replica), again, newer}
	for _, c := range part {
		args = append(args, r.names.KeyArg(c.RowKey))
	}
	return r.winners(ctx, tx, won, r.mysql.Claimed+" (?"+strings.Repeat(", ?", len(part)-1)+")", args)
}

func (r *Store) winners(ctx context.Context, tx db.Queryer, won map[string]bool, query string, args []any) error {
	return db.Each(ctx, tx, func(rows *sql.Rows) error {
		var key sql.NullString
		err := rows.Scan(&key)
		if key.Valid {
			won[key.String] = true
		}
		return err
	}, query, args...)
}
