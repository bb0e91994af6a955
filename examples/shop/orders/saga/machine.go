package saga

import (
	"maps"

	"github.com/postroom/postroom/examples/shop/events"
)

// Step is where a saga stands.
type Step string

// The steps.
const (
	Reserving Step = "reserving"
	Paying    Step = "paying"
	Done      Step = "done" // the order is confirmed
	Refunding Step = "refunding"
	Releasing Step = "releasing"
	Undone    Step = "undone" // the order is cancelled, and has nothing reserved or paid any more
	Stuck     Step = "stuck"  // the compensation failed for good, or got no answer
)

// rule is what a saga does in a step.
type rule struct {
	send   string          // the command that the step begins with
	on     map[string]Step // where an answer leads; other messages change nothing
	silent Step            // where it leads if no answer comes, although the command was sent again
}

// machine is the whole saga. Reserving and Paying are the way forward, Refunding and Releasing the compensation. It
// undoes also what may not have been done: a command without an answer may have had its effect.
//
// A copy of an answer, or a late one, meets a step that does not wait for it, and changes nothing.
var machine = map[Step]rule{
	Reserving: {
		send: events.TypeReserveStock,
		on: map[string]Step{
			events.TypeStockReserved:        Paying,
			events.TypeStockShort:           Undone,
			events.TypeOrderCancelRequested: Releasing,
		},
		silent: Releasing,
	},
	Paying: {
		send: events.TypeTakePayment,
		on: map[string]Step{
			events.TypePaymentTaken:         Done,
			events.TypePaymentRefused:       Releasing,
			events.TypeOrderCancelRequested: Refunding,
		},
		silent: Refunding,
	},
	Done: {
		on: map[string]Step{events.TypeOrderCancelRequested: Refunding},
	},
	Refunding: {
		send: events.TypeRefundPayment,
		on: map[string]Step{
			events.TypePaymentRefunded: Releasing,
			events.TypeRefundFailed:    Stuck,
		},
		silent: Stuck,
	},
	Releasing: {
		send:   events.TypeReleaseStock,
		on:     map[string]Step{events.TypeStockReleased: Undone},
		silent: Stuck,
	},
	Stuck: {
		on: map[string]Step{
			events.TypeOrderRepaired: Refunding, // from the beginning: refunding twice is refunding once
			// The answer came after all. ReleaseStock is only sent when nothing is paid any more: nothing is left.
			events.TypePaymentRefunded: Releasing,
			events.TypeStockReleased:   Undone,
		},
	},
	Undone: {},
}

// withoutCompensation is the naive way: when the payment is refused, the order is cancelled, and nobody gives the
// articles back that were reserved for it.
var withoutCompensation = func() map[Step]rule {
	naive := maps.Clone(machine)
	paying := naive[Paying]
	paying.on = maps.Clone(paying.on)
	paying.on[events.TypePaymentRefused] = Undone
	naive[Paying] = paying
	return naive
}()

// reasons say why an order is cancelled, by the message that led to it.
var reasons = map[string]string{
	events.TypeStockShort:           events.ReasonStockShort,
	events.TypePaymentRefused:       events.ReasonPaymentRefused,
	events.TypeOrderCancelRequested: events.ReasonCustomer,
	events.TypeStepTimedOut:         events.ReasonTimeout,
}
