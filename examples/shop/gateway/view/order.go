package view

import (
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox"
)

// Order is what all services together know about an order. Parts that are nil are not there yet.
type Order struct {
	events.Of
	Version  int64         `json:"version"` // of the order's stream; 0: nothing came from orders yet
	Flow     events.Flow   `json:"flow"`
	Items    []events.Item `json:"items"`
	Cents    int64         `json:"cents"`
	Note     string        `json:"note,omitempty"`
	Status   string        `json:"status"`
	Reason   string        `json:"reason,omitempty"`
	Stock    *Stock        `json:"stock,omitempty"`
	Payment  *Payment      `json:"payment,omitempty"`
	Customer *Customer     `json:"customer_data,omitempty"`
}

// Stock is what stock knows about an order.
type Stock struct {
	State string `json:"state"` // reserved, short, released
}

// Payment is what payments knows about an order.
type Payment struct {
	State  string `json:"state"` // taken, refused, refunded
	Cents  int64  `json:"cents"`
	Reason string `json:"reason,omitempty"`
}

// Customer is what customers knows about who placed an order. An erased customer has nothing else.
type Customer struct {
	Name    string `json:"name,omitempty"`
	Version int64  `json:"version,omitempty"`
	Erased  bool   `json:"erased,omitempty"`
}

// statuses are what the events of orders lead to.
var statuses = map[string]string{
	events.TypeOrderPlaced:          "placed",
	events.TypeOrderConfirmed:       "confirmed",
	events.TypeOrderCancelRequested: "cancelling",
	events.TypeOrderRepaired:        "cancelling",
	events.TypeOrderCancelled:       "cancelled",
	events.TypeOrderStuck:           "stuck",
}

// apply changes the order as an event says, and reports whether anything changed. Events of different topics come in
// any order, so each topic has parts of its own: orders the order, stock and payments what is named after them. Within
// a part a late event changes nothing: the stream's version decides, or the state that is there.
func (o *Order) apply(m inbox.Message) (changed bool, err error) {
	// The bodies of all events together: no field means different things in two of them.
	body, err := kit.Decode[struct {
		events.OrderPlaced
		Note   string `json:"note"`
		Reason string `json:"reason"`
		SKU    string `json:"sku"`
	}](m)
	if err != nil {
		return false, err
	}
	o.Of = body.Of
	switch m.Type {
	case events.TypeStockReserved:
		return o.setStock("reserved", ""), nil
	case events.TypeStockShort:
		return o.setStock("short", ""), nil
	case events.TypeStockReleased:
		return o.setStock("released", "reserved"), nil
	case events.TypePaymentTaken:
		return o.setPayment(Payment{"taken", body.Cents, ""}, ""), nil
	case events.TypePaymentRefused:
		return o.setPayment(Payment{"refused", 0, body.Reason}, ""), nil
	case events.TypePaymentRefunded:
		return o.setPayment(Payment{"refunded", body.Cents, ""}, "taken"), nil
	}
	status, known := statuses[m.Type]
	if !known && m.Type != events.TypeOrderChanged || body.Version <= o.Version {
		return false, nil // a type that came after this program, or the version gate
	}
	o.Version = body.Version
	if known {
		o.Status, o.Reason = status, body.Reason
	} else {
		o.Note = body.Note
	}
	if m.Type == events.TypeOrderPlaced {
		o.Flow, o.Items, o.Cents = body.Flow, body.Items, body.Cents
	}
	return true, nil
}

// setStock sets the first state, or the one that follows after another.
func (o *Order) setStock(state, after string) bool {
	if o.Stock != nil && (after == "" || o.Stock.State != after) {
		return false
	}
	o.Stock = &Stock{State: state}
	return true
}

func (o *Order) setPayment(p Payment, after string) bool {
	if o.Payment != nil && (after == "" || o.Payment.State != after) {
		return false
	}
	o.Payment = &p
	return true
}
