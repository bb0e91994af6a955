package view

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
)

// ofLive restricts a statement to the live generation. It is part of each statement, so that a switch to another one
// is between two statements, in all gateways at once.
const ofLive = "(SELECT generation FROM view_generations WHERE state = 'live')"

// theView is the cache's name for the model as a whole. Its version is the live generation. Each answer was made of it,
// so that a switch makes all answers of the old one invalid.
const theView = "view"

// ofGeneration is the cache's name for an entity whose changes each generation counts for itself: two generations may
// come to the same number with different contents. The version of a customer is that of its events, and needs none.
func ofGeneration(kind string, generation int64, id string) string {
	return fmt.Sprintf("%s:%d:%s", kind, generation, id)
}

// ErrNone means that the model has no such row, or not yet.
var ErrNone = errors.New("the read model has no such row")

// Order returns an order, and the versions of what it was made of. Version 0 means that the event that placed it has
// not come yet.
func (m *Model) Order(ctx context.Context, id string) (Order, cache.Versions, error) {
	var o Order
	var body []byte
	var generation, revision int64
	var name sql.NullString
	var version, erased sql.NullInt64
	err := m.db.SQL.QueryRowContext(ctx, m.db.Bind(`SELECT o.generation, o.body, o.revision, c.name, c.version, c.erased
		FROM order_view o LEFT JOIN customer_view c ON c.generation = o.generation AND c.customer = o.customer
		WHERE o.generation = `+ofLive+` AND o.order_id = ?`), id,
	).Scan(&generation, &body, &revision, &name, &version, &erased)
	if errors.Is(err, sql.ErrNoRows) {
		return o, nil, ErrNone
	}
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	if err != nil {
		return o, nil, err
	}
	if version.Valid {
		o.Customer = &Customer{Name: name.String, Version: version.Int64}
		if erased.Int64 == 1 {
			o.Customer = &Customer{Erased: true}
		}
	}
	return o, cache.Versions{
		theView:                               generation,
		ofGeneration("order", generation, id): revision,
		"customer:" + o.Of.Customer:           version.Int64,
	}, nil
}

// Page is some orders of a customer, by order id. Next is where the next page begins; empty: this was the last one.
type Page struct {
	Orders []Order `json:"orders"`
	Next   string  `json:"next,omitempty"`
}

// Page returns up to limit orders after an order id. It is stable: an order that comes meanwhile appears on its page or
// not, and moves no other to another page, as an OFFSET would.
func (m *Model) Page(ctx context.Context, customer, after string, limit int) (p Page, v cache.Versions, err error) {
	// First the revision: if an order changes in between, the page is newer than it says. That is only a miss more.
	var generation, revision int64
	err = m.db.SQL.QueryRowContext(ctx, m.db.Bind(`SELECT g.generation, COALESCE(c.revision, 0) FROM view_generations g
		LEFT JOIN customer_orders c ON c.generation = g.generation AND c.customer = ? WHERE g.state = 'live'`),
		customer).Scan(&generation, &revision)
	if err != nil {
		return p, nil, err
	}
	rows, err := m.db.SQL.QueryContext(ctx, m.db.Bind(`SELECT body FROM order_view WHERE generation = `+ofLive+`
		AND customer = ? AND order_id > ? AND version > 0 ORDER BY order_id LIMIT ?`), customer, after, limit+1)
	if err != nil {
		return p, nil, err
	}
	defer func() { _ = rows.Close() }()
	p.Orders = []Order{}
	for rows.Next() {
		var body []byte
		var o Order
		if err := rows.Scan(&body); err != nil {
			return p, nil, err
		}
		if err := json.Unmarshal(body, &o); err != nil {
			return p, nil, err
		}
		p.Orders = append(p.Orders, o)
	}
	if len(p.Orders) > limit { // there is more
		p.Orders = p.Orders[:limit]
		p.Next = p.Orders[limit-1].OrderID
	}
	return p, cache.Versions{theView: generation, ofGeneration("orders-of", generation, customer): revision}, rows.Err()
}

// KnownCustomer is a customer as the customers service answers: a client may get either answer, with one ETag.
type KnownCustomer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Version int64  `json:"version"`
	Erased  bool   `json:"erased,omitempty"`
}

// Customer returns a customer, and the versions of what it was made of.
func (m *Model) Customer(ctx context.Context, id string) (KnownCustomer, cache.Versions, error) {
	c := KnownCustomer{ID: id}
	var generation int64
	err := m.db.SQL.QueryRowContext(ctx, m.db.Bind(`SELECT generation, name, email, version, erased FROM customer_view
		WHERE generation = `+ofLive+` AND customer = ?`), id,
	).Scan(&generation, &c.Name, &c.Email, &c.Version, &c.Erased)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return c, cache.Versions{theView: generation, "customer:" + id: c.Version}, err
}

// States returns how many orders are in each state.
func (m *Model) States(ctx context.Context) (map[string]int64, error) {
	rows, err := m.db.SQL.QueryContext(ctx,
		"SELECT status, COUNT(*) FROM order_view WHERE version > 0 AND generation = "+ofLive+" GROUP BY status")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	states := map[string]int64{}
	for rows.Next() {
		var status string
		var orders int64
		if err := rows.Scan(&status, &orders); err != nil {
			return nil, err
		}
		states[status] = orders
	}
	return states, rows.Err()
}
