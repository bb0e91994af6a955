package inboxwatermill_test

import (
	"database/sql"

	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
)

// position reads where watermill-kafka found a message.
func position(msg *message.Message) *inbox.Position {
	ctx := msg.Context()
	partition, ok := kafka.MessagePartitionFromCtx(ctx)
	offset, ok2 := kafka.MessagePartitionOffsetFromCtx(ctx)
	if !ok || !ok2 {
		return nil
	}
	return &inbox.Position{Topic: message.SubscribeTopicFromCtx(ctx), Partition: partition, Offset: offset}
}

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
		AddMiddleware(inboxwatermill.Middleware(ib, db, inboxwatermill.WithPosition(position)))
}
