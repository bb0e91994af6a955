package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

// A relay runs inside a service and sends the events in the outbox. The sink of this example prints them. For
// Kafka use package relaykafka, and for any Watermill publisher relaywatermill.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have its own database in memory.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, relay.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	if err := placeOrder(ctx, db, "o-1"); err != nil {
		log.Fatal(err)
	}

	r, err := relay.New(relay.Config{DB: db, Dialect: relay.SQLite, Sink: printer{delivered: stop}})
	if err != nil {
		log.Fatal(err)
	}
	// Run ends when ctx ends. Before that, the records that the sink has are delivered and deleted.
	if err := r.Run(ctx); err != nil {
		log.Fatal(err)
	}
	var left int
	if err := db.QueryRow("SELECT count(*) FROM outbox_events").Scan(&left); err != nil {
		log.Fatal(err)
	}
	fmt.Println("events left:", left)
	// Output:
	// orders o-1 {"total":42}
	// events left: 0
}

func placeOrder(ctx context.Context, db *sql.DB, id string) error {
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := ob.Add(ctx, tx, outbox.Event{Topic: "orders", Key: id, Payload: []byte(`{"total":42}`)}); err != nil {
		return err
	}
	return tx.Commit()
}

// printer is the smallest sink. It can always be reached, and a record is delivered when it is printed.
type printer struct {
	delivered func() // called after each record
}

func (p printer) Check(context.Context) error { return nil }

func (p printer) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return printing{p, ack}, nil
}

type printing struct {
	printer
	ack relay.Ack
}

func (p printing) Deliver(_ context.Context, records []*relay.Record) {
	for _, r := range records {
		fmt.Printf("%s %s %s\n", r.Topic, r.Key, r.Payload)
		p.ack(r, nil)
		p.delivered()
	}
}

func (p printing) Close() {}
