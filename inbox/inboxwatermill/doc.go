// Package inboxwatermill runs the handlers of a Watermill Router through an inbox, so that each message takes effect
// once.
//
// What it promises: the handler runs in a database transaction that also records the message's id, and the message is
// acknowledged after that transaction has committed. If a message was handled before, its delivery is acknowledged
// without a run of the handler. A handler that fails runs again, after pauses. A message that fails for good is parked
// in the database and acknowledged, and runs again when an operator requests it (Replay). See package inbox for the
// rest.
//
// What it needs: an inbox (package inbox), handlers that write through the transaction in the message's context, and
// messages with UUIDs that are unique across all services that produce them. UUIDs of watermill.NewUUID and of Postroom
// are unique.
//
//	router.AddMiddleware(inboxwatermill.Middleware(ib, db))
//	router.AddConsumerHandler("billing", "orders", subscriber, func(msg *message.Message) error {
//		tx := inboxwatermill.MustTx(msg.Context())
//		_, err := tx.ExecContext(msg.Context(), "INSERT INTO invoices …")
//		return err
//	})
//
// Each handler needs its own consumer name. If you add the middleware to the whole router, all its handlers are one
// consumer, and only the first handler of a message handles it. If two handlers read the same messages, give each its
// own inbox with Handler.AddMiddleware.
//
// The router publishes the messages that a handler returns after the commit. If the process dies in between, they are
// lost: the next delivery is a duplicate, and the handler does not run again. To be sure that messages are sent, write
// them to an outbox in the same transaction, for example with package outboxwatermill:
//
//	publisher := outboxwatermill.NewPublisher(ob, inboxwatermill.MustTx(msg.Context()))
//
// Close the subscriber when Router.Run has returned. A router that is stopped by its context leaves its subscribers
// open: only Router.Close closes them. A watermill-amqp subscriber that nobody closes keeps its connection, and
// reconnects for ever after each loss of it.
//
// A handler must not call Ack or Nack itself: a message that is acknowledged before its commit is lost if the commit
// fails.
package inboxwatermill
