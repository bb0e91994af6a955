package stock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/outbox"
)

// States of a reservation.
const (
	Reserved = "reserved"
	Short    = "short"    // nothing was reserved
	Released = "released" // nothing is reserved any more, or ever will be
)

// reservation is what is known of an order here.
type reservation struct {
	events.Of
	flow  events.Flow
	cents int64
	items []events.Item
	state string
	short string // the article that there is too little of
}

// reserve sets all items of an order aside, or none of them.
func (s *Service) reserve(ctx context.Context, tx *sql.Tx, r reservation) ([]outbox.Event, error) {
	r.state = Reserved
	fresh, err := s.insert(ctx, tx, r)
	if err != nil {
		return nil, err
	}
	if !fresh {
		// The same order again: it changes nothing, and the answer is what it was. If the order was released first,
		// because the saga gave up waiting, the late command must not reserve anything.
		if r, err = s.lock(ctx, tx, r.OrderID); err != nil {
			return nil, err
		}
		return s.answerReserve(r)
	}
	quantities := map[string]int64{} // one article may be in an order twice
	for _, item := range r.items {
		quantities[item.SKU] += item.Quantity
	}
	// All transactions lock the articles in the same order. Otherwise two orders of the same two articles could each
	// lock one and wait for the other, a deadlock.
	skus := slices.Sorted(maps.Keys(quantities))
	for _, sku := range skus {
		enough, err := s.available(ctx, tx, sku, quantities[sku])
		if err != nil {
			return nil, err
		}
		if !enough {
			r.state, r.short = Short, sku
			if err := s.setState(ctx, tx, r); err != nil {
				return nil, err
			}
			return s.answerReserve(r)
		}
	}
	for _, sku := range skus {
		if err := s.setAside(ctx, tx, r.OrderID, sku, quantities[sku]); err != nil {
			return nil, err
		}
	}
	return s.answerReserve(r)
}

// release gives back what an order has set aside.
func (s *Service) release(ctx context.Context, tx *sql.Tx, r reservation) ([]outbox.Event, error) {
	// If the order is not known yet, this row remembers that it was released: a command to reserve that was on its way
	// for too long then finds it.
	r.state = Released
	fresh, err := s.insert(ctx, tx, r)
	if err != nil {
		return nil, err
	}
	if !fresh {
		if r, err = s.lock(ctx, tx, r.OrderID); err != nil {
			return nil, err
		}
		if r.state == Reserved {
			if err := s.giveBack(ctx, tx, r.OrderID); err != nil {
				return nil, err
			}
			r.state = Released
			if err := s.setState(ctx, tx, r); err != nil {
				return nil, err
			}
		}
	}
	return s.answer(r, events.TypeStockReleased, events.StockReleased{Of: r.Of, Flow: r.flow})
}

func (s *Service) answerReserve(r reservation) ([]outbox.Event, error) {
	if r.state == Reserved {
		return s.answer(r, events.TypeStockReserved, events.StockReserved{Of: r.Of, Flow: r.flow, Cents: r.cents})
	}
	return s.answer(r, events.TypeStockShort, events.StockShort{Of: r.Of, Flow: r.flow, SKU: r.short})
}

func (s *Service) answer(r reservation, eventType string, body any) ([]outbox.Event, error) {
	event, err := s.kafka.Event(events.Stock, r.OrderID, eventType, body)
	return []outbox.Event{event}, err
}

func (s *Service) insert(ctx context.Context, tx *sql.Tx, r reservation) (fresh bool, err error) {
	return s.db.InsertNew(ctx, tx, "reservations",
		[]string{"order_id", "customer", "flow", "cents", "state", "short"},
		r.OrderID, r.Customer, string(r.flow), r.cents, r.state, r.short)
}

// lock reads a reservation, which no other transaction can change until this one ends.
func (s *Service) lock(ctx context.Context, tx *sql.Tx, orderID string) (r reservation, err error) {
	err = tx.QueryRowContext(ctx, s.db.Bind(
		"SELECT order_id, customer, flow, cents, state, short FROM reservations WHERE order_id = ?"+s.db.ForUpdate(),
	), orderID).Scan(&r.OrderID, &r.Customer, &r.flow, &r.cents, &r.state, &r.short)
	return r, err
}

func (s *Service) setState(ctx context.Context, tx *sql.Tx, r reservation) error {
	_, err := tx.ExecContext(ctx, s.db.Bind(
		"UPDATE reservations SET state = ?, short = ? WHERE order_id = ?"), r.state, r.short, r.OrderID)
	return err
}

// available tells whether there is so much of an article, and locks the article.
func (s *Service) available(ctx context.Context, tx *sql.Tx, sku string, quantity int64) (bool, error) {
	var available int64
	err := tx.QueryRowContext(ctx, s.db.Bind(
		"SELECT available FROM items WHERE sku = ?"+s.db.ForUpdate()), sku).Scan(&available)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // an article that was never delivered
	}
	// A negative quantity would put articles into stock.
	return quantity > 0 && available >= quantity, err
}

func (s *Service) setAside(ctx context.Context, tx *sql.Tx, orderID, sku string, quantity int64) error {
	if _, err := tx.ExecContext(ctx, s.db.Bind(
		"UPDATE items SET available = available - ?, reserved = reserved + ? WHERE sku = ?"),
		quantity, quantity, sku); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, s.db.Bind(
		"INSERT INTO reservation_items (order_id, sku, quantity) VALUES (?, ?, ?)"), orderID, sku, quantity)
	return err
}

func (s *Service) giveBack(ctx context.Context, tx *sql.Tx, orderID string) error {
	items, err := s.items(ctx, tx, orderID)
	if err != nil {
		return err
	}
	for _, item := range items {
		if _, err := tx.ExecContext(ctx, s.db.Bind(
			"UPDATE items SET available = available + ?, reserved = reserved - ? WHERE sku = ?"),
			item.Quantity, item.Quantity, item.SKU); err != nil {
			return fmt.Errorf("give back %s: %w", item.SKU, err)
		}
	}
	return nil
}

// items are those of a reservation, in the order in which articles are locked. It is the one of reserve: a database may
// sort texts in another one, such as a before B.
func (s *Service) items(ctx context.Context, db querier, orderID string) (items []events.Item, err error) {
	rows, err := db.QueryContext(ctx, s.db.Bind(
		"SELECT sku, quantity FROM reservation_items WHERE order_id = ?"), orderID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var item events.Item
		if err := rows.Scan(&item.SKU, &item.Quantity); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b events.Item) int { return strings.Compare(a.SKU, b.SKU) })
	return items, rows.Err()
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
