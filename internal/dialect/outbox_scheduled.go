package dialect

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// ScheduleEvents writes rows into outbox_scheduled, in order.
func (o *Outbox) ScheduleEvents(ctx context.Context, tx Execer, rows []EventRow) error {
	return o.insert(ctx, tx, o.scheduled, rows)
}

// cancelAtOnce bounds the ids that one statement names.
const cancelAtOnce = 1000

// Cancel deletes scheduled rows that are still there, and returns how many. A row that
// the relay is moving is waited for, and is gone then.
//
// The ids are sorted, so that two transactions that cancel the same events do not wait
// for each other in a circle. They stand in the text: they are hexadecimal digits, and
// a driver's cache of prepared statements is spared one for each number of ids.
func (o *Outbox) Cancel(ctx context.Context, tx Execer, ids []uuid.UUID) (total int64, err error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	slices.Sort(texts)
	for some := range slices.Chunk(slices.Compact(texts), cancelAtOnce) {
		result, err := tx.ExecContext(ctx, o.cancelStatement(some))
		if err != nil {
			return total, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

func (o *Outbox) cancelStatement(ids []string) string {
	if o.names.Dialect == MySQL {
		return o.names.Expand("DELETE s" + mysqlByEventID(ids))
	}
	return o.names.Expand("DELETE FROM {outbox_scheduled} WHERE event_id IN ('" + strings.Join(ids, "', '") + "')")
}
