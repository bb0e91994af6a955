package outboxwatermill_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxwatermill"
)

// A Watermill message is published in the transaction that writes the order. The relay sends it if that commits.
func ExampleNewPublisher() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
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
	publisher := outboxwatermill.NewPublisher(ob, tx, outboxwatermill.WithKey(
		func(_ string, msg *message.Message) string { return msg.Metadata.Get("order") }))
	msg := message.NewMessage(watermill.NewUUID(), []byte(`{"total":42}`))
	msg.Metadata.Set("order", "o-1")
	if err := publisher.Publish("orders", msg); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}

	var topic, key string
	if err := db.QueryRowContext(ctx, "SELECT topic, event_key FROM outbox_events").Scan(&topic, &key); err != nil {
		log.Fatal(err)
	}
	fmt.Println("waits for the relay:", topic, key)
	// Output: waits for the relay: orders o-1
}
