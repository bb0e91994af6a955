package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

// An order and its event are written in one transaction: after it both are there, or neither is.
func ExampleOutbox_Add() {
	ctx := context.Background()
	db := openShop(ctx)
	defer func() { _ = db.Close() }()
	ob, err := outbox.New(outbox.SQLite)
	check(err)

	tx, err := db.BeginTx(ctx, nil)
	check(err)
	_, err = tx.ExecContext(ctx, "INSERT INTO orders (id, total) VALUES ('o-1', 42)")
	check(err)
	event := outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"total":42}`)}
	check(ob.Add(ctx, tx, event))
	check(tx.Commit())

	var events int
	check(db.QueryRowContext(ctx, "SELECT count(*) FROM outbox_events").Scan(&events))
	fmt.Println("events that wait for the relay:", events)
	// Output: events that wait for the relay: 1
}

// A reminder is scheduled with the order, and cancelled when the order is paid in time.
func ExampleOutbox_Cancel() {
	ctx := context.Background()
	db := openShop(ctx)
	defer func() { _ = db.Close() }()
	ob, err := outbox.New(outbox.SQLite)
	check(err)

	// In the transaction that places the order. The id is kept with the order.
	reminder := uuid.New()
	tx, err := db.BeginTx(ctx, nil)
	check(err)
	check(ob.Add(ctx, tx,
		outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"total":42}`)},
		outbox.Event{
			ID: reminder, Topic: "reminders", Key: "o-1", Type: "order.unpaid", Payload: []byte(`{"order":"o-1"}`),
			DeliverAt: time.Now().Add(24 * time.Hour),
		}))
	check(tx.Commit())

	// In the transaction that books the payment.
	tx, err = db.BeginTx(ctx, nil)
	check(err)
	cancelled, err := ob.Cancel(ctx, tx, reminder)
	check(err)
	check(tx.Commit())
	fmt.Println("reminders taken back:", cancelled) // 0 would mean that it is out already
	// Output: reminders taken back: 1
}

// openShop opens a database in memory with Postroom's tables and one of the shop's own.
func openShop(ctx context.Context) *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	check(err)
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}) // as `relay migrate up`
	check(err)
	_, err = db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER)")
	check(err)
	return db
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
