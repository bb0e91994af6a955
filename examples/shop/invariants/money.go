package invariants

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
)

// money looks at each account by itself: two faults must not make up for each other.
func (a *Auditor) money(ctx context.Context, _ *books) (Row, error) {
	row := Row{Name: "money", Reason: "What a customer deposited is in the account, or orders have paid with it."}
	var deposited, balances, paid, wrong int64
	err := a.numbers(ctx, "payments", `SELECT COALESCE(SUM(deposited_cents), 0), COALESCE(SUM(balance_cents), 0),
		(SELECT COALESCE(SUM(cents), 0) FROM payments WHERE state = 'taken'),
		COALESCE(SUM(CASE WHEN balance_cents < 0 OR deposited_cents <> balance_cents + COALESCE(p.cents, 0)
			THEN 1 ELSE 0 END), 0)
		FROM accounts a LEFT JOIN (SELECT customer, SUM(cents) AS cents FROM payments WHERE state = 'taken'
			GROUP BY customer) p ON p.customer = a.customer`, &deposited, &balances, &paid, &wrong)
	row.Holds = deposited == balances+paid && wrong == 0
	row.Figures = fmt.Sprintf("%d deposited, %d in accounts, %d paid; %d accounts are wrong",
		deposited, balances, paid, wrong)
	return row, err
}

// stock looks at each article by itself.
func (a *Auditor) stock(ctx context.Context, _ *books) (Row, error) {
	row := Row{Name: "stock", Reason: "Each article that came in is available, or set aside for an order."}
	var delivered, available, reserved, ofOrders, wrong int64
	err := a.numbers(ctx, "stock", `SELECT COALESCE(SUM(delivered), 0), COALESCE(SUM(available), 0),
		COALESCE(SUM(reserved), 0), COALESCE(SUM(r.quantity), 0),
		COALESCE(SUM(CASE WHEN available < 0 OR delivered <> available + reserved OR reserved <> COALESCE(r.quantity, 0)
			THEN 1 ELSE 0 END), 0)
		FROM items i LEFT JOIN (SELECT ri.sku, SUM(ri.quantity) AS quantity FROM reservation_items ri
			JOIN reservations o ON o.order_id = ri.order_id WHERE o.state = 'reserved' GROUP BY ri.sku) r
		ON r.sku = i.sku`, &delivered, &available, &reserved, &ofOrders, &wrong)
	row.Holds = wrong == 0 && reserved == ofOrders
	row.Figures = fmt.Sprintf("%d delivered, %d available, %d set aside, for orders %d; %d articles are wrong",
		delivered, available, reserved, ofOrders, wrong)
	return row, err
}

// holding is what an order has of the other services.
type holding struct {
	cents int64            // paid
	items map[string]int64 // set aside
}

// paidAndReserved compares three services, which no query can join.
func (a *Auditor) paidAndReserved(ctx context.Context, b *books) (Row, error) {
	row := Row{Name: "paid and reserved", Reason: "A confirmed order has paid its price, and its articles are set " +
		"aside. A cancelled one has neither."}
	held, err := a.holdings(ctx)
	if err != nil {
		return row, err
	}
	confirmed, stuck, wrong := 0, 0, []string(nil)
	for id, s := range b.streams {
		has := held[id]
		delete(held, id)
		switch s.Status {
		case order.Confirmed:
			confirmed++
			if has.cents != s.Cents {
				wrong = append(wrong,
					fmt.Sprintf("%s is confirmed, and has paid %d of %d cents", id, has.cents, s.Cents))
			} else if !maps.Equal(has.items, quantities(s.Items)) {
				wrong = append(wrong, fmt.Sprintf("%s is confirmed, and not just its articles are set aside", id))
			}
		case order.Cancelled:
			if what := has.what(); what != "" {
				wrong = append(wrong, id+" is cancelled, and "+what)
			}
		case order.Stuck: // the list of stuck orders says why
			stuck++
		}
	}
	for id, has := range held {
		if what := has.what(); what != "" {
			wrong = append(wrong, id+" is no order, and "+what)
		}
	}
	row.Holds = len(wrong) == 0
	row.Figures = fmt.Sprintf("%d confirmed orders have both, %d orders are wrong, %d are stuck%s",
		confirmed, len(wrong), stuck, examples(wrong))
	return row, nil
}

// what says what the order has, if anything.
func (h holding) what() string {
	var has []string
	if h.cents != 0 {
		has = append(has, "has paid")
	}
	if len(h.items) > 0 {
		has = append(has, "has articles set aside")
	}
	return strings.Join(has, " and ")
}

func quantities(items []events.Item) map[string]int64 {
	sums := map[string]int64{}
	for _, item := range items {
		sums[item.SKU] += item.Quantity
	}
	return sums
}

func (a *Auditor) holdings(ctx context.Context) (map[string]holding, error) {
	held := map[string]holding{}
	if err := a.each(ctx, "payments", "SELECT order_id, cents FROM payments WHERE state = ?",
		func(scan scanner) error {
			var id string
			var cents int64
			err := scan(&id, &cents)
			held[id] = holding{cents: cents}
			return err
		}, payments.Taken); err != nil {
		return nil, err
	}
	return held, a.each(ctx, "stock", `SELECT i.order_id, i.sku, i.quantity FROM reservation_items i
		JOIN reservations r ON r.order_id = i.order_id WHERE r.state = ?`, func(scan scanner) error {
		var id, sku string
		var quantity int64
		err := scan(&id, &sku, &quantity)
		h := held[id]
		if h.items == nil {
			h.items = map[string]int64{}
		}
		h.items[sku] += quantity
		held[id] = h
		return err
	}, stock.Reserved)
}

// emails compares what the orders asked for with what was written.
func (a *Auditor) emails(ctx context.Context, b *books) (Row, error) {
	row := Row{Name: "e-mails", Reason: "Each order has one e-mail for each event that asks for one, and no other. A " +
		"customer who is erased may have fewer."}
	written := map[[2]string]int64{}
	emails := int64(0)
	if err := a.each(ctx, "notifications", "SELECT order_id, kind, COUNT(*) FROM emails GROUP BY order_id, kind",
		func(scan scanner) error {
			var of [2]string
			var n int64
			err := scan(&of[0], &of[1], &n)
			written[of], emails = n, emails+n
			return err
		}); err != nil {
		return row, err
	}
	asked, lost, tooMany := int64(0), []string(nil), []string(nil)
	for id, s := range b.streams {
		for kind, want := range s.mails {
			of := [2]string{id, kind}
			have := written[of]
			asked += want
			if have < want && !b.erased[s.Customer] {
				lost = append(lost, id+" "+kind)
			}
			if have <= want {
				delete(written, of)
			}
		}
	}
	for of := range written {
		tooMany = append(tooMany, of[0]+" "+of[1])
	}
	row.Holds = len(lost)+len(tooMany) == 0
	row.Figures = fmt.Sprintf("%d e-mails, %d were asked for; %d are lost, %d were written too often%s",
		emails, asked, len(lost), len(tooMany), examples(slices.Concat(lost, tooMany)))
	return row, nil
}
