package inboxwatermill_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/migrations"
)

// A handler of a Router takes effect once for each message. The broker is a channel of this process. With Kafka, add
// inboxwatermill.WithPosition(watermillkafka.Position) and inboxwatermill.WithKey(watermillkafka.Key).
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, inbox.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE invoices (body BLOB)"); err != nil {
		log.Fatal(err)
	}
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}

	ib, err := inbox.New(inbox.SQLite, "billing")
	if err != nil {
		log.Fatal(err)
	}
	handle := func(msg *message.Message) error {
		tx := inboxwatermill.MustTx(msg.Context())
		_, err := tx.ExecContext(msg.Context(), "INSERT INTO invoices (body) VALUES (?)", []byte(msg.Payload))
		return err
	}
	tell := func(_ *message.Message, outcome inbox.Outcome, _ error) {
		fmt.Println(outcome)
		if outcome == inbox.Duplicate {
			stop()
		}
	}
	router.AddConsumerHandler("billing", "orders", pubsub, handle).
		AddMiddleware(inboxwatermill.Middleware(ib, db, inboxwatermill.OnOutcome(tell)))

	go func() {
		<-router.Running()
		msg := message.NewMessage(watermill.NewUUID(), []byte(`{"total":42}`))
		if err := pubsub.Publish("orders", msg, msg.Copy()); err != nil {
			log.Fatal(err)
		}
	}()
	if err := router.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// applied
	// duplicate
}
