package demo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/steady"
	"github.com/postroom/postroom/outbox"
)

const (
	customers      = 20
	rollBackPerMil = 100 // of 1000 orders
)

// order is a row of the shop's table and the payload of its event. Nth numbers the customer's orders from 1
// without a hole, so that a lost order, a copy and a wrong order can be seen.
type order struct {
	ID       int64  `json:"order"`
	Customer string `json:"customer"`
	Nth      int64  `json:"nth"`
	Cents    int64  `json:"cents"`
}

// shop writes orders, and their events, in its own database.
type shop struct {
	db    *sql.DB
	ob    *outbox.Outbox
	stats *stats
	rand  *rand.Rand

	rolledBack []order // only write uses it, until it has returned
}

const shopTables = `
CREATE TABLE customers (name TEXT PRIMARY KEY, orders INTEGER NOT NULL DEFAULT 0);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, nth INTEGER NOT NULL, cents INTEGER NOT NULL);`

func newShop(ctx context.Context, target *dbopen.Target, st *stats) (*shop, error) {
	ob, err := outbox.New(target.Dialect)
	if err != nil {
		return nil, err
	}
	if _, err := target.DB.ExecContext(ctx, shopTables); err != nil {
		return nil, fmt.Errorf("make its tables: %w", err)
	}
	for i := range customers {
		if _, err := target.DB.ExecContext(
			ctx, "INSERT INTO customers (name) VALUES (?)", fmt.Sprintf("customer-%02d", i+1),
		); err != nil {
			return nil, fmt.Errorf("make its customers: %w", err)
		}
	}
	return &shop{db: target.DB, ob: ob, stats: st, rand: rand.New(rand.NewPCG(3, 14))}, nil
}

// write places orders at the configured rate, until there are enough, the time is over or ctx ends. Half way
// through it calls halfTime, once.
func (s *shop) write(ctx context.Context, o Options, halfTime func()) error {
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	started, once := time.Now(), sync.Once{}
	every := time.Second / time.Duration(o.Rate)
	return steady.Load{First: every, Every: every, Limit: o.Orders}.Run(ctx, func(n int) error {
		n++
		// An order that was begun is finished: if ctx cut its COMMIT short, nobody would know whether it took
		// effect.
		if err := s.place(context.WithoutCancel(ctx), int64(n), s.rand.IntN(1000) < rollBackPerMil); err != nil {
			return fmt.Errorf("order %d: %w", n, err)
		}
		if time.Since(started) > o.Duration/2 || o.Orders > 0 && n >= o.Orders/2 {
			once.Do(halfTime)
		}
		return nil
	})
}

// place writes an order and its event in one transaction, and rolls it back if rollBack is true.
func (s *shop) place(ctx context.Context, id int64, rollBack bool) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	o := order{
		ID: id, Customer: fmt.Sprintf("customer-%02d", s.rand.IntN(customers)+1), Cents: s.rand.Int64N(20_000) + 100,
	}

	// Lock the customer's row first. This serialises the writers of a key, which the order of the key depends
	// on.
	row := tx.QueryRowContext(
		ctx, "UPDATE customers SET orders = orders + 1 WHERE name = ? RETURNING orders", o.Customer,
	)
	if err := row.Scan(&o.Nth); err != nil {
		return err
	}
	if _, err := tx.ExecContext(
		ctx, "INSERT INTO orders (id, customer, nth, cents) VALUES (?, ?, ?, ?)", o.ID, o.Customer, o.Nth, o.Cents,
	); err != nil {
		return err
	}
	event, err := o.event()
	if err != nil {
		return err
	}
	if err := s.ob.Add(ctx, tx, event); err != nil {
		return err
	}
	if rollBack {
		return s.takeBack(tx, o)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.stats.committed(id)
	return nil
}

func (s *shop) takeBack(tx *sql.Tx, o order) error {
	if err := tx.Rollback(); err != nil {
		return err
	}
	s.rolledBack = append(s.rolledBack, o)
	s.stats.add(func(c *counts) { c.RolledBack++ })
	return nil
}

func (o order) event() (outbox.Event, error) {
	payload, err := outbox.JSON(o)
	return outbox.Event{Topic: topic, Key: o.Customer, Type: "order.placed", Payload: payload}, err
}

// waiting returns the number of events in the outbox.
func (s *shop) waiting(ctx context.Context) (n int, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM outbox_events").Scan(&n)
	return n, err
}
