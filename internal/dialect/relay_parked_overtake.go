package dialect

import (
	"context"
	"database/sql"
)

// Overtake marks every parked row that has a key: from now on later events of the key
// are delivered before it. The policy skip asks for it, for what another policy has
// parked. It locks the lease row, and returns ErrLeaseLost if that is another's.
func (r *Relay) Overtake(ctx context.Context, l Lease) error {
	return r.Fenced(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, r.names.Expand(
			"UPDATE {outbox_parked} SET overtaken = true WHERE event_key IS NOT NULL AND NOT overtaken"))
		return err
	})
}
