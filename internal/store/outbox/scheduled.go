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

// cancelAtOnce is the largest number of ids in one statement.
const cancelAtOnce = 1000

// Cancel deletes scheduled rows that still exist, and returns how many. If the relay is
// moving a row, Cancel waits until the row is gone.
//
// The ids are sorted, so that two transactions that cancel the same events do not
// deadlock. They are part of the text, and not arguments, so that a driver caches no
// prepared statement for each number of ids. This is safe because they are hexadecimal
// digits.
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
