// Package invariants tells whether the data of all services fit together. It is an auditor: it reads every service's
// database, as no service can, and changes nothing.
//
// What it finds is only meaningful at rest: while orders are on their way, a payment is for a moment ahead of what
// depends on it. Rest is a row of the table itself.
package invariants

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Row is one thing that must hold.
type Row struct {
	Name    string
	Holds   bool
	Figures string
	Reason  string // what it means, in a sentence
}

// Auditor reads the databases. Make it with Open.
type Auditor struct{ databases map[string]*kit.DB }

// Open opens the databases, by the names of package provision. The caller calls Close.
func Open(ctx context.Context, urls map[string]string) (*Auditor, error) {
	a := &Auditor{databases: map[string]*kit.DB{}}
	for name, url := range urls {
		db, err := kit.Connect(ctx, url)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), a.Close())
		}
		db.SQL.SetMaxOpenConns(1) // it reads one thing after another
		a.databases[name] = db
	}
	return a, nil
}

// Close closes the databases.
func (a *Auditor) Close() (err error) {
	for _, db := range a.databases {
		err = errors.Join(err, db.Close())
	}
	return err
}

// Check looks at everything and returns the table, always in the same order. An error means that it could not look.
func (a *Auditor) Check(ctx context.Context) (rows []Row, err error) {
	for _, check := range []func(context.Context) (Row, error){
		a.rest, a.parked, a.money, a.stock, a.paidAndReserved, a.emails,
	} {
		row, err := check(ctx)
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", row.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// numbers runs a query of one row in the database of a service.
func (a *Auditor) numbers(ctx context.Context, database, query string, into ...any) error {
	db, found := a.databases[database]
	if !found {
		return fmt.Errorf("there is no database %s", database)
	}
	return db.SQL.QueryRowContext(ctx, query).Scan(into...)
}

func (a *Auditor) rest(ctx context.Context) (Row, error) {
	row := Row{Name: "rest", Reason: "Every event has left its outbox. Until then the other rows may change."}
	waiting, err := a.sumOfAll(ctx, "SELECT COUNT(*) FROM outbox_events")
	if err != nil {
		return row, err
	}
	for name := range a.databases {
		var mails int64
		if strings.HasPrefix(name, "orders_") { // they have a second outbox
			if err := a.numbers(ctx, name, "SELECT COUNT(*) FROM mail_outbox_events", &mails); err != nil {
				return row, err
			}
		}
		waiting += mails
	}
	row.Holds = waiting == 0
	row.Figures = fmt.Sprintf("%d events in the outboxes of %d databases", waiting, len(a.databases))
	return row, nil
}

func (a *Auditor) parked(ctx context.Context) (Row, error) {
	row := Row{Name: "parked", Reason: "No event was rejected by a broker, and no message failed for good."}
	events, err := a.sumOfAll(ctx, "SELECT COUNT(*) FROM outbox_parked")
	if err != nil {
		return row, err
	}
	messages, err := a.sumOfAll(ctx, "SELECT COUNT(*) FROM inbox_parked")
	row.Holds, row.Figures = events+messages == 0, fmt.Sprintf("%d events, %d messages", events, messages)
	return row, err
}

func (a *Auditor) sumOfAll(ctx context.Context, query string) (sum int64, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.databases)) {
		var n int64
		if err := a.numbers(ctx, name, query, &n); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

func (a *Auditor) money(ctx context.Context) (Row, error) {
	row := Row{Name: "money", Reason: "What customers deposited is in their accounts, or orders have paid with it."}
	var deposited, balances, paid, below int64
	err := a.numbers(ctx, "payments", `SELECT COALESCE(SUM(deposited_cents), 0), COALESCE(SUM(balance_cents), 0),
		(SELECT COALESCE(SUM(cents), 0) FROM payments WHERE state = 'taken'),
		(SELECT COUNT(*) FROM accounts WHERE balance_cents < 0) FROM accounts`, &deposited, &balances, &paid, &below)
	row.Holds = deposited == balances+paid && below == 0
	row.Figures = fmt.Sprintf("%d deposited, %d in accounts, %d paid; %d accounts below 0",
		deposited, balances, paid, below)
	return row, err
}

func (a *Auditor) stock(ctx context.Context) (Row, error) {
	row := Row{Name: "stock", Reason: "Each article that came in is available, or set aside for an order."}
	var delivered, available, reserved, ofOrders, wrong int64
	err := a.numbers(ctx, "stock", `SELECT COALESCE(SUM(delivered), 0), COALESCE(SUM(available), 0),
		COALESCE(SUM(reserved), 0), (SELECT COALESCE(SUM(quantity), 0) FROM reservation_items i
			JOIN reservations r ON r.order_id = i.order_id WHERE r.state = 'reserved'),
		(SELECT COUNT(*) FROM items WHERE delivered <> available + reserved OR available < 0) FROM items`,
		&delivered, &available, &reserved, &ofOrders, &wrong)
	row.Holds = wrong == 0 && reserved == ofOrders
	row.Figures = fmt.Sprintf("%d delivered, %d available, %d set aside, for orders %d; %d articles are wrong",
		delivered, available, reserved, ofOrders, wrong)
	return row, err
}

// paidAndReserved compares two databases, which no query can join.
func (a *Auditor) paidAndReserved(ctx context.Context) (Row, error) {
	row := Row{
		Name:   "paid and reserved",
		Reason: "An order has paid if, and only if, its articles are set aside: it is complete, or nothing is left.",
	}
	paid, err := a.ids(ctx, "payments", "SELECT order_id FROM payments WHERE state = 'taken'")
	if err != nil {
		return row, err
	}
	reserved, err := a.ids(ctx, "stock", "SELECT order_id FROM reservations WHERE state = 'reserved'")
	onlyPaid, onlyReserved := 0, 0
	for id := range paid {
		if !reserved[id] {
			onlyPaid++
		}
	}
	for id := range reserved {
		if !paid[id] {
			onlyReserved++
		}
	}
	row.Holds = onlyPaid+onlyReserved == 0
	row.Figures = fmt.Sprintf("%d orders have both, %d have only paid, %d are only reserved",
		len(paid)-onlyPaid, onlyPaid, onlyReserved)
	return row, err
}

func (a *Auditor) emails(ctx context.Context) (Row, error) {
	row := Row{Name: "e-mails", Reason: "Each event is one e-mail, however often RabbitMQ delivered it."}
	var emails, events int64
	err := a.numbers(ctx, "notifications", "SELECT COUNT(*), COUNT(DISTINCT message_id) FROM emails", &emails, &events)
	row.Holds, row.Figures = emails == events, fmt.Sprintf("%d e-mails of %d events", emails, events)
	return row, err
}

func (a *Auditor) ids(ctx context.Context, database, query string) (map[string]bool, error) {
	rows, err := a.databases[database].SQL.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	ids := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, rows.Err()
}
