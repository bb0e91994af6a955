package order

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/inbox"
)

// snapshotEvery is after how many versions a snapshot is made.
const snapshotEvery = 10

// Repository loads orders, and changes them in the caller's transaction.
type Repository struct {
	Store *eventstore.Store
	// OnEvent is called after each event that was appended, in the same transaction, with the order after it. Optional.
	OnEvent func(ctx context.Context, tx *sql.Tx, o Order, e eventstore.Event) error
}

// Decision says which events a command leads to.
type Decision func(o Order) ([]eventstore.Event, error)

// Load returns an order. Version 0: there is none.
func (r *Repository) Load(ctx context.Context, q eventstore.Queryer, id string) (Order, error) {
	o, _, err := eventstore.Rebuild(ctx, r.Store, q, id, Apply)
	return o, err
}

// Change loads an order, decides, and appends, in one transaction. expected is the version that the client has seen; if
// the order is at another one, the error is a *eventstore.ConflictError. 0: whatever the version is.
func (r *Repository) Change(
	ctx context.Context, tx *sql.Tx, id string, expected int64, cause inbox.Message, decide Decision,
) (Order, error) {
	before, err := r.Load(ctx, tx, id)
	if err != nil {
		return before, err
	}
	if expected > 0 && expected != before.Version {
		return before, &eventstore.ConflictError{Stream: id, Expected: expected, Current: before.Version}
	}
	decided, err := decide(before)
	if err != nil || len(decided) == 0 {
		return before, err
	}
	after := before
	for _, e := range decided {
		if after, err = Apply(after, e); err != nil {
			return before, err
		}
		if r.OnEvent != nil {
			if err := r.OnEvent(ctx, tx, after, e); err != nil {
				return before, err
			}
		}
	}
	err = r.Store.Append(ctx, tx, eventstore.Change{
		Stream: id, Customer: after.Customer, Expected: before.Version, Events: decided,
		AtRest: after.AtRest(), Cause: cause,
	})
	if err == nil && after.Version/snapshotEvery > before.Version/snapshotEvery {
		err = r.Store.Snapshot(ctx, tx, id, after.Version, after)
	}
	return after, err
}
