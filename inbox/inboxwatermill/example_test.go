package inboxwatermill_test

import (
	"database/sql"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillkafka"
)

// A handler of a Router that reads Kafka and takes effect once per message.
func Example() {
	var (
		db         *sql.DB
		router     *message.Router
		subscriber message.Subscriber
	)
	ib, err := inbox.New(inbox.PostgreSQL, "billing")
	if err != nil {
		panic(err)
	}
	handle := func(msg *message.Message) error {
		tx := inboxwatermill.MustTx(msg.Context())
		_, err := tx.ExecContext(msg.Context(), "INSERT INTO invoices (body) VALUES ($1)", []byte(msg.Payload))
		return err
	}
	router.AddConsumerHandler("billing", "orders", subscriber, handle).
		AddMiddleware(inboxwatermill.Middleware(ib, db, inboxwatermill.WithPosition(watermillkafka.Position), inboxwatermill.WithKey(watermillkafka.Key)))
}
