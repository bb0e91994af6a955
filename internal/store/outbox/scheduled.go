package outbox

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// ScheduleEvents writes rows into outbox_scheduled, in order.
func (s *Store) ScheduleEvents(ctx context.Context, tx db.Execer, rows []EventRow) error {
	return s.insert(ctx, tx, s.scheduled, rows)
}

// cancelAtOnce bounds the ids that one statement names.
const cancelAtOnce = 1000

// Cancel deletes scheduled rows that are still there, and returns how many. A row that
// the relay is moving is waited for, and is gone then.
//
// The ids are sorted, so that two transactions that cancel the same events do not wait
// for each other in a circle. They stand in the text: they are hexadecimal digits, and
// a driver's cache of prepared statements is spared one for each number of ids.
func (s *Store) Cancel(ctx context.Context, tx db.Execer, ids []uuid.UUID) (total int64, err error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	slices.Sort(texts)
	between := db.For(s.names.Dialect, "', '", `", "`, "', '")
	for some := range slices.Chunk(slices.Compact(texts), cancelAtOnce) {
		statement := db.Fill(s.sql.CancelScheduled, db.Values{"ids": db.SQL(strings.Join(some, between))})
		n, err := db.Affected(tx.ExecContext(ctx, statement))
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}
