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

// A reminder is scheduled with the order, and cancelled when the order is paid in time.
func ExampleOutbox_Cancel() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	check(err)
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)                                                   // each connection would have a database in memory of its own
	_, err = migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}) // as `relay migrate up`
	check(err)
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

func check(err error) {
	if err != nil {
		panic(err)
	}
}
