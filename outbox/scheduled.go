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
// IDs, if and when the caller commits. It returns how many it took back. Fewer than were
// named means that the others are delivered or about to be, were cancelled before, or
// never were: for an event that was scheduled, 0 means too late.
//
// When the relay is moving the event at this moment, Cancel waits for it, some
// milliseconds, and then finds it gone. The other way round the relay leaves the event
// alone while tx is open, with the later scheduled ones of its key, and delivers it after
// a rollback, late as it may be. So do not keep tx open for long. The database user needs SELECT
// and DELETE on outbox_scheduled.
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

// split separates the rows to deliver now from those to deliver later, and keeps the
// order of both.
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

// checkTime rejects what a table cannot hold or RFC 3339 cannot write.
func checkTime(e Event) error {
	if e.DeliverAt.IsZero() {
		return nil
	}
	if year := microseconds(e.DeliverAt).Year(); year < 1970 || year > 9999 {
		return fmt.Errorf("%w: DeliverAt in the year %d, want 1970 to 9999", ErrInvalidTime, year)
	}
	return nil
}

// microseconds rounds up to what the tables keep: an event is not delivered before its
// time.
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
