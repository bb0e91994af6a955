package saga

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
)

// React is all that orders does for a choreographed order. Nobody leads it: stock reserves when an order is placed,
// and payments takes the money when stock has reserved. If the payment was refused, or the customer cancels, stock
// releases, and then payments refunds. PaymentRefunded is the last link of that chain, also if nothing was paid: only
// then is nothing left, and the order is cancelled. There is no row that says where an order stands, and nobody who
// notices that an answer is missing.
func React(ctx context.Context, tx *sql.Tx, orders *order.Repository, m Message) error {
	_, err := orders.Change(ctx, tx, m.OrderID, 0, m.Cause, func(o order.Order) ([]eventstore.Event, error) {
		if o.Flow != events.Choreographed {
			return nil, nil
		}
		switch m.Type {
		case events.TypePaymentTaken:
			return order.Confirm(o)
		case events.TypeStockShort:
			return order.Cancel(o, events.ReasonStockShort)
		case events.TypePaymentRefunded:
			if o.Status == order.Placed { // nobody has asked for it
				return order.Cancel(o, events.ReasonPaymentRefused)
			}
			return order.Cancel(o, events.ReasonCustomer)
		case events.TypeRefundFailed:
			return order.GetStuck(o, m.Reason)
		}
		return nil, nil
	})
	return err
}
