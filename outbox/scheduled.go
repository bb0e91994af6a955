package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	store "github.com/postroom/postroom/internal/store/outbox"
)

// Cancel takes back scheduled events, those that were added with a DeliverAt, by their
// IDs. It takes effect when the caller commits. It returns how many events it took back.
// The other events were delivered, will be delivered in a moment, were cancelled before,
// or never existed. So 0 for one scheduled event means that it is too late.
//
// If the relay is just moving the event, Cancel waits some milliseconds, and then finds
// that the event is gone. While tx is open, the relay moves neither the event nor the
// later scheduled events of its key. After a rollback it delivers them, maybe late. So do
// not keep tx open for long. The database user needs SELECT and DELETE on
// outbox_scheduled.
func (o *Outbox) Cancel(ctx context.Context, tx Tx, ids ...uuid.UUID) (int64, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	if isNil(tx) {
		return 0, fmt.Errorf("outbox: cancel in %s: %w", o.later, ErrNoTransaction)
	}
	n, err := o.insert.Cancel(ctx, tx, ids)
	if err != nil {
		return n, fmt.Errorf("outbox: cancel %d events in %s: %w", len(ids), o.later, explain(err, nil))
	}
	return n, nil
}

// split separates the rows to deliver now from the rows to deliver later. Both keep
// their order.
func split(rows []store.EventRow) (now, later []store.EventRow) {
	isLater := func(r store.EventRow) bool { return !r.DeliverAt.IsZero() }
	if !slices.ContainsFunc(rows, isLater) {
		return rows, nil
	}
	for _, r := range rows {
		if isLater(r) {
			later = append(later, r)
		} else {
			now = append(now, r)
		}
	}
	return now, later
}

// checkTime rejects times that a table or RFC 3339 cannot express.
func checkTime(e Event) error {
	if e.DeliverAt.IsZero() {
		return nil
	}
	if year := microseconds(e.DeliverAt).Year(); year < 1970 || year > 9999 {
		return fmt.Errorf("%w: DeliverAt in the year %d, want 1970 to 9999", ErrInvalidTime, year)
	}
	return nil
}

// microseconds rounds up to whole microseconds, as the tables keep them, so that no event
// is delivered before its time.
func microseconds(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	short := t.UTC().Truncate(time.Microsecond)
	if short.Before(t) {
		short = short.Add(time.Microsecond)
	}
	return short
}
