package relaywatermill_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill"
)

// An event of the outbox goes to a Watermill publisher. In this example it is a channel in the same process.
func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db := openShop(ctx)
	defer func() { _ = db.Close() }()
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	defer func() { _ = pubsub.Close() }()
	messages, err := pubsub.Subscribe(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}

	sink, err := relaywatermill.New(pubsub, relaywatermill.Options{KeyMetadata: "key"})
	if err != nil {
		log.Fatal(err)
	}
	r, err := relay.New(relay.Config{DB: db, Dialect: relay.SQLite, Sink: sink})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()

	msg := <-messages
	msg.Ack()
	fmt.Printf("%s %s\n", msg.Metadata.Get("key"), msg.Payload)
	stop()
	fmt.Println(<-ended)
	// Output:
	// o-1 {"total":42}
	// <nil>
}

// openShop returns a database with one waiting event.
func openShop(ctx context.Context) *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	// Each connection would have its own database in memory.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := ob.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "o-1", Payload: []byte(`{"total":42}`)}); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	return db
}
