// Package order is what an order is and what may happen to it.
//
// It has two kinds of pure functions. Apply makes the state of events, and never refuses one: it has happened. The
// others decide by the state which events a command leads to; they refuse, or return none if there is nothing to do.
// None of them reads a clock or a database, so that a test needs neither, and a rebuild gives the same state always.
package order

import (
	"encoding/json"
	"fmt"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
)

// Status is where an order stands.
type Status string

// The states. Placed and Cancelling end by themselves, when the other services have answered.
const (
	Placed     Status = "placed"
	Confirmed  Status = "confirmed"
	Cancelling Status = "cancelling" // the customer wants it; money and goods go back
	Cancelled  Status = "cancelled"
	Stuck      Status = "stuck" // cancelling failed for good; somebody has to look
)

// Statuses are all of them.
func Statuses() []Status { return []Status{Placed, Confirmed, Cancelling, Cancelled, Stuck} }

// Order is the state. The zero Order is one that does not exist.
type Order struct {
	events.Of
	Version int64         `json:"version"`
	Flow    events.Flow   `json:"flow"`
	Items   []events.Item `json:"items"`
	Cents   int64         `json:"cents"`
	Note    string        `json:"note,omitempty"`
	Status  Status        `json:"status"`
	Reason  string        `json:"reason,omitempty"` // of Cancelled and Stuck
}

// AtRest reports that nothing more happens by itself.
func (o Order) AtRest() bool {
	return o.Status == Confirmed || o.Status == Cancelled || o.Status == Stuck
}

// Apply is the state after an event.
func Apply(o Order, e eventstore.Event) (Order, error) {
	// All bodies together: each event has some of these fields, and none means different things in two events.
	var body struct {
		events.OrderPlaced
		Note   string `json:"note"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return o, fmt.Errorf("%s: %w", e.Type, err)
	}
	o.Version++
	switch e.Type {
	case events.TypeOrderPlaced:
		o.Of, o.Flow, o.Items, o.Cents, o.Status = body.Of, body.Flow, body.Items, body.Cents, Placed
	case events.TypeOrderChanged:
		o.Note = body.Note
	case events.TypeOrderConfirmed:
		o.Status = Confirmed
	case events.TypeOrderCancelRequested, events.TypeOrderRepaired:
		o.Status, o.Reason = Cancelling, ""
	case events.TypeOrderCancelled:
		o.Status, o.Reason = Cancelled, body.Reason
	case events.TypeOrderStuck:
		o.Status, o.Reason = Stuck, body.Reason
	default:
		return o, fmt.Errorf("unknown event %s", e.Type)
	}
	return o, nil
}

// RefusedError means that the order's status does not allow a command, and says why.
type RefusedError struct {
	Command string // change, cancel or repair
	Reason  string
}

func (e *RefusedError) Error() string { return e.Reason }

// Place begins an order. If it is there, the command came twice.
func Place(o Order, placed events.OrderPlaced) ([]eventstore.Event, error) {
	if o.Version > 0 {
		return nil, nil
	}
	placed.Version = 1
	return event(events.TypeOrderPlaced, placed)
}

// Change sets the note for the delivery.
func Change(o Order, note string) ([]eventstore.Event, error) {
	if o.Status != Placed && o.Status != Confirmed {
		return nil, &RefusedError{"change", fmt.Sprintf("the order is %s", o.Status)}
	}
	return event(events.TypeOrderChanged, events.OrderChanged{Of: o.Of, Version: o.Version + 1, Note: note})
}

// RequestCancel is the customer's wish to cancel. Money and goods go back before the order is Cancelled.
func RequestCancel(o Order) ([]eventstore.Event, error) {
	if o.Status != Placed && o.Status != Confirmed {
		return nil, &RefusedError{"cancel", fmt.Sprintf("the order is %s", o.Status)}
	}
	return event(events.TypeOrderCancelRequested,
		events.OrderCancelRequested{Of: o.Of, Version: o.Version + 1, Flow: o.Flow})
}

// Confirm ends an order well.
func Confirm(o Order) ([]eventstore.Event, error) {
	if o.Status != Placed {
		return nil, nil // the news came twice, or after a wish to cancel
	}
	return event(events.TypeOrderConfirmed, events.OrderConfirmed{Of: o.Of, Version: o.Version + 1, Cents: o.Cents})
}

// Cancel ends an order that has nothing reserved and nothing paid any more.
func Cancel(o Order, reason string) ([]eventstore.Event, error) {
	if o.Version == 0 || o.Status == Cancelled || o.Status == Confirmed {
		return nil, nil
	}
	return event(events.TypeOrderCancelled, events.OrderCancelled{Of: o.Of, Version: o.Version + 1, Reason: reason})
}

// GetStuck says that money or goods cannot go back.
func GetStuck(o Order, reason string) ([]eventstore.Event, error) {
	if o.Version == 0 || o.AtRest() {
		return nil, nil
	}
	return event(events.TypeOrderStuck, events.OrderStuck{Of: o.Of, Version: o.Version + 1, Reason: reason})
}

// Resume says that a stuck order goes on. So it is not at rest, and cannot move to another database meanwhile.
func Resume(o Order) ([]eventstore.Event, error) {
	if o.Status != Stuck {
		return nil, nil
	}
	return event(events.TypeOrderRepaired, events.OrderRepaired{Of: o.Of, Version: o.Version + 1})
}

// Repair lets a stuck order go on. Where no saga leads it, the wish to cancel goes to the other services once more.
func Repair(o Order) ([]eventstore.Event, error) {
	if o.Status != Stuck {
		return nil, &RefusedError{"repair", fmt.Sprintf("the order is %s, not stuck", o.Status)}
	}
	repaired, err := Resume(o)
	if err != nil || o.Flow == events.Orchestrated {
		return repaired, err
	}
	wish, err := event(events.TypeOrderCancelRequested,
		events.OrderCancelRequested{Of: o.Of, Version: o.Version + 2, Flow: o.Flow})
	return append(repaired, wish...), err
}

func event(kind string, body any) ([]eventstore.Event, error) {
	text, err := json.Marshal(body)
	return []eventstore.Event{{Type: kind, Body: text}}, err
}
