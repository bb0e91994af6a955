package view

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/inbox"
)

var of = events.Of{OrderID: "order-1", Customer: "ada"}

func message(t require.TestingT, topic, eventType string, body any) inbox.Message {
	payload, err := json.Marshal(body)
	require.NoError(t, err)
	return inbox.Message{Topic: topic, Key: of.OrderID, Type: eventType, Payload: payload}
}

// story is what three services say about an order that is cancelled by the customer.
func story(t require.TestingT) map[string][]inbox.Message {
	return map[string][]inbox.Message{
		events.Orders: {
			message(t, events.Orders, events.TypeOrderPlaced, events.OrderPlaced{
				Of: of, Version: 1, Flow: events.Orchestrated, Cents: 500,
				Items: []events.Item{{SKU: "pen", Quantity: 2}},
			}),
			message(t, events.Orders, events.TypeOrderChanged,
				events.OrderChanged{Of: of, Version: 2, Note: "ring twice"}),
			message(t, events.Orders, events.TypeOrderConfirmed, events.OrderConfirmed{Of: of, Version: 3, Cents: 500}),
			message(t, events.Orders, events.TypeOrderCancelRequested,
				events.OrderCancelRequested{Of: of, Version: 4}),
			message(t, events.Orders, events.TypeOrderCancelled,
				events.OrderCancelled{Of: of, Version: 5, Reason: "customer"}),
		},
		events.Stock: {
			message(t, events.Stock, events.TypeStockReserved, events.StockReserved{Of: of, Cents: 500}),
			message(t, events.Stock, events.TypeStockReleased, events.StockReleased{Of: of}),
			// A command to reserve that was late.
			message(t, events.Stock, events.TypeStockShort, events.StockShort{Of: of}),
		},
		events.Payments: {
			message(t, events.Payments, events.TypePaymentTaken, events.PaymentTaken{Of: of, Cents: 500}),
			message(t, events.Payments, events.TypeRefundFailed, events.RefundFailed{Of: of, Reason: "closed"}),
			message(t, events.Payments, events.TypePaymentRefunded, events.PaymentRefunded{Of: of, Cents: 500}),
			message(t, events.Payments, events.TypePaymentRefused, events.PaymentRefused{Of: of, Reason: "refunded"}),
		},
	}
}

var cancelled = Order{
	Of: of, Version: 5, Flow: events.Orchestrated, Items: []events.Item{{SKU: "pen", Quantity: 2}}, Cents: 500,
	Note: "ring twice", Status: "cancelled", Reason: "customer",
	Stock: &Stock{"released"}, Payment: &Payment{"refunded", 500, ""},
}

func TestTopicsComeInAnyOrderAndEventsRepeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topics := story(t)
		var o Order
		changes := 0
		var seen []inbox.Message
		apply := func(m inbox.Message) bool {
			changed, err := o.apply(m)
			require.NoError(t, err)
			return changed
		}
		for len(topics) > 0 {
			if len(seen) > 0 && rapid.Bool().Draw(t, "again") {
				require.False(t, apply(rapid.SampledFrom(seen).Draw(t, "old")), "a late event changed something")
				continue
			}
			topic := rapid.SampledFrom([]string{events.Orders, events.Stock, events.Payments}).Draw(t, "topic")
			if len(topics[topic]) == 0 {
				delete(topics, topic)
				continue
			}
			m := topics[topic][0]
			topics[topic] = topics[topic][1:]
			if apply(m) {
				changes++
			}
			seen = append(seen, m)
		}
		require.Equal(t, cancelled, o)
		require.Equal(t, 9, changes, "the number of changes is the version of what is cached")
	})
}

func TestAPartKeepsWhatItWasWhenThereIsNothingToGiveBack(t *testing.T) {
	var o Order
	for _, m := range []inbox.Message{
		message(t, events.Stock, events.TypeStockShort, events.StockShort{Of: of, SKU: "pen"}),
		message(t, events.Stock, events.TypeStockReleased, events.StockReleased{Of: of}),
		message(t, events.Payments, events.TypePaymentRefused, events.PaymentRefused{Of: of, Reason: "no account"}),
		message(t, events.Payments, events.TypePaymentRefunded, events.PaymentRefunded{Of: of}),
	} {
		_, err := o.apply(m)
		require.NoError(t, err)
	}
	require.Equal(t, Order{Of: of, Stock: &Stock{"short"}, Payment: &Payment{"refused", 0, "no account"}}, o)

	// The saga gave up before anything was reserved or taken.
	o = Order{}
	for _, m := range []inbox.Message{
		message(t, events.Stock, events.TypeStockReleased, events.StockReleased{Of: of}),
		message(t, events.Payments, events.TypePaymentRefunded, events.PaymentRefunded{Of: of}),
		message(t, events.Payments, "payment.audited", events.PaymentRefunded{Of: of}), // not known here
	} {
		_, err := o.apply(m)
		require.NoError(t, err)
	}
	require.Equal(t, Order{Of: of, Stock: &Stock{"released"}, Payment: &Payment{State: "refunded"}}, o)
}
