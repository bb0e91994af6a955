package outboxtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"testing"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

// A test asks which events the code under test has written. t is a stand-in here, because an example is no test.
func ExampleRequireEvents() {
	t := standIn{}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)
	if _, err := migrations.Apply(t.Context(), db, outbox.SQLite, migrations.Options{}); err != nil {
		log.Fatal(err)
	}
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}

	if err := placeOrder(t.Context(), db, ob); err != nil {
		log.Fatal(err)
	}
	outboxtest.RequireEvents(t, db, ob,
		outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"total":42}`)})
	fmt.Println("as wanted")
	outboxtest.RequireEvents(t, db, ob) // it wants none
	// Output:
	// as wanted
	// the test fails
}

// placeOrder is the code under test.
func placeOrder(ctx context.Context, db *sql.DB, ob *outbox.Outbox) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	event := outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"total":42}`)}
	if err := ob.Add(ctx, tx, event); err != nil {
		return err
	}
	return tx.Commit()
}

type standIn struct{ testing.TB }

func (standIn) Context() context.Context { return context.Background() }
func (standIn) Helper()                  {}
func (standIn) Fatalf(string, ...any)    { fmt.Println("the test fails") }
