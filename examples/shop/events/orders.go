package events

// Types of the events on Orders.
const (
	TypeOrderPlaced          = "order.placed"
	TypeOrderChanged         = "order.changed"
	TypeOrderConfirmed       = "order.confirmed"
	TypeOrderCancelRequested = "order.cancel_requested" // by the customer
	TypeOrderCancelled       = "order.cancelled"
	TypeOrderStuck           = "order.stuck"    // the saga cannot be compensated
	TypeOrderRepaired        = "order.repaired" // the compensation continues
)

// Reasons of OrderCancelled.
const (
	ReasonStockShort     = "stock_short"
	ReasonPaymentRefused = "payment_refused"
	ReasonTimeout        = "timeout"
	ReasonCustomer       = "customer"
)

// OrderPlaced begins the stream of an order. Cents is the price of all items together.
type OrderPlaced struct {
	Of
	Version int64  `json:"version"` // of the order's stream, here and below
	Flow    Flow   `json:"flow"`
	Items   []Item `json:"items"`
	Cents   int64  `json:"cents"`
}

// OrderChanged says that the customer changed the note for the delivery.
type OrderChanged struct {
	Of
	Version int64  `json:"version"`
	Note    string `json:"note"`
}

// OrderConfirmed says that the stock is reserved and the payment is taken.
type OrderConfirmed struct {
	Of
	Version int64 `json:"version"`
	Cents   int64 `json:"cents"`
}

// OrderCancelRequested asks for the cancellation of an order. In a choreographed flow stock answers with StockReleased,
// and payments answers that with PaymentRefunded.
type OrderCancelRequested struct {
	Of
	Version int64 `json:"version"`
	Flow    Flow  `json:"flow"`
}

// OrderCancelled ends an order. What it had reserved and paid is given back.
type OrderCancelled struct {
	Of
	Version int64  `json:"version"`
	Reason  string `json:"reason"`
}

// OrderStuck says that a step of the compensation failed for good, and why.
type OrderStuck struct {
	Of
	Version int64  `json:"version"`
	Reason  string `json:"reason"`
}

// OrderRepaired says that the compensation of a stuck order runs again, because somebody asked for it, or because a
// late answer has come.
type OrderRepaired struct {
	Of
	Version int64 `json:"version"`
}

// TypeStepTimedOut is the type of the events on OrderTimeouts.
const TypeStepTimedOut = "order.step_timed_out"

// StepTimedOut arrives when a step of the saga had its time. The saga knows it by its id. Step and Attempt tell people
// which sending of which command it belongs to.
type StepTimedOut struct {
	Of
	Step    string `json:"step"`
	Attempt int    `json:"attempt"`
}

// TypeMailRequested is the type of the events on Mails.
const TypeMailRequested = "mail.requested"

// MailRequested asks notifications for one e-mail. Kind is what it is about, for example "confirmed" or "cancelled".
type MailRequested struct {
	Of
	Kind string `json:"kind"`
	To   string `json:"to"` // the e-mail address
	Name string `json:"name"`
}
