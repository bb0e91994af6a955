package order_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
)

// after returns an order to which decisions were applied, one after another.
func after(t *testing.T, decisions ...order.Decision) (o order.Order) {
	t.Helper()
	for _, decide := range decisions {
		decided, err := decide(o)
		require.NoError(t, err)
		for _, e := range decided {
			o, err = order.Apply(o, e)
			require.NoError(t, err)
		}
	}
	return o
}

func place(flow events.Flow) order.Decision {
	return func(o order.Order) ([]eventstore.Event, error) {
		return order.Place(o, events.OrderPlaced{
			Of: events.Of{OrderID: "o1", Customer: "c1"}, Flow: flow,
			Items: []events.Item{{SKU: "a", Quantity: 2}}, Cents: 7,
		})
	}
}

func note(o order.Order) ([]eventstore.Event, error) { return order.Change(o, "ring twice") }

func cancel(o order.Order) ([]eventstore.Event, error) { return order.Cancel(o, "customer") }

func getStuck(o order.Order) ([]eventstore.Event, error) { return order.GetStuck(o, "closed") }

func TestADecisionGivesTheEventsThatItsStateAllows(t *testing.T) {
	placed := place(events.Orchestrated)
	for name, tc := range map[string]struct {
		before  []order.Decision
		decide  order.Decision
		want    []string // types of events
		refused string
	}{
		"place":              {nil, placed, []string{events.TypeOrderPlaced}, ""},
		"place twice":        {[]order.Decision{placed}, placed, nil, ""},
		"change":             {[]order.Decision{placed, order.Confirm}, note, []string{events.TypeOrderChanged}, ""},
		"change nothing":     {nil, note, nil, "the order is "},
		"change a cancelled": {[]order.Decision{placed, cancel}, note, nil, "the order is cancelled"},
		"confirm":            {[]order.Decision{placed}, order.Confirm, []string{events.TypeOrderConfirmed}, ""},
		"confirm twice":      {[]order.Decision{placed, order.Confirm}, order.Confirm, nil, ""},
		"confirm too late":   {[]order.Decision{placed, order.RequestCancel}, order.Confirm, nil, ""},
		"wish to cancel": {
			[]order.Decision{placed, order.Confirm}, order.RequestCancel, []string{events.TypeOrderCancelRequested}, "",
		},
		"wish it twice": {
			[]order.Decision{placed, order.RequestCancel}, order.RequestCancel, nil, "the order is cancelling",
		},
		"cancel":             {[]order.Decision{placed}, cancel, []string{events.TypeOrderCancelled}, ""},
		"cancel twice":       {[]order.Decision{placed, cancel}, cancel, nil, ""},
		"cancel a confirmed": {[]order.Decision{placed, order.Confirm}, cancel, nil, ""},
		"get stuck":          {[]order.Decision{placed}, getStuck, []string{events.TypeOrderStuck}, ""},
		"stuck in the end":   {[]order.Decision{placed, cancel}, getStuck, nil, ""},
		"repair": {
			[]order.Decision{placed, getStuck}, order.Repair, []string{events.TypeOrderRepaired}, "",
		},
		"repair what runs": {[]order.Decision{placed}, order.Repair, nil, "the order is placed, not stuck"},
		"repair without a saga": {
			[]order.Decision{place(events.Choreographed), getStuck}, order.Repair,
			[]string{events.TypeOrderRepaired, events.TypeOrderCancelRequested}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			decided, err := tc.decide(after(t, tc.before...))
			if tc.refused != "" {
				var refused *order.RefusedError
				require.ErrorAs(t, err, &refused)
				require.EqualError(t, refused, tc.refused)
			} else {
				require.NoError(t, err)
			}
			var got []string
			for _, e := range decided {
				got = append(got, e.Type)
			}
			require.Equal(t, tc.want, got)
		})
	}
}

func TestTheStateIsWhatTheEventsSay(t *testing.T) {
	o := after(t, place(events.Orchestrated), note, order.Confirm, order.RequestCancel, getStuck)
	require.Equal(t, order.Order{
		Of: events.Of{OrderID: "o1", Customer: "c1"}, Version: 5, Flow: events.Orchestrated,
		Items: []events.Item{{SKU: "a", Quantity: 2}}, Cents: 7, Note: "ring twice",
		Status: order.Stuck, Reason: "closed",
	}, o)
	require.True(t, o.AtRest())
	require.False(t, after(t, place(events.Orchestrated)).AtRest())

	_, err := order.Apply(o, eventstore.Event{Type: "order.painted", Body: []byte("{}")})
	require.EqualError(t, err, "unknown event order.painted")
	_, err = order.Apply(o, eventstore.Event{Type: events.TypeOrderPlaced, Body: []byte("{")})
	require.ErrorContains(t, err, events.TypeOrderPlaced)
}
