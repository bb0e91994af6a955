package dialect

import (
	"context"
	"database/sql"
	"fmt"
)

// Renumber gives a row of outbox_events the next id, if it still is that event and the
// lease is held. What nobody has numbered by the sequence has no place in its key's
// order, so no key is locked. ErrLeaseLost: nothing was done.
func (r *Relay) Renumber(ctx context.Context, l Lease, row Event) error {
	const columns = "event_id, topic, event_key, event_type, payload, headers, created_at"
	where := " WHERE id = " + r.names.Param(1) + " AND event_id = " + r.names.Param(2)
	remove := "DELETE FROM {outbox_events}" + where
	switch r.names.Dialect {
	case PostgreSQL:
		remove += postgresRowWait
	case MySQL:
		remove = mysqlRowWait + remove
	}
	return r.Fenced(ctx, l, func(tx *sql.Tx) error {
		add := "INSERT INTO {outbox_events} (" + columns + ") SELECT " + columns + " FROM {outbox_events}" + where
		copied, err := affected(tx.ExecContext(ctx, r.names.Expand(add), row.ID, row.EventID.String()))
		if err != nil {
			return err
		}
		gone, err := affected(tx.ExecContext(ctx, r.names.Expand(remove), row.ID, row.EventID.String()))
		if err == nil && gone != copied {
			err = fmt.Errorf("%d rows were copied and %d deleted, so nothing was done", copied, gone)
		}
		return err
	})
}
