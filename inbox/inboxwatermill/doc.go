// Package inboxwatermill makes the handlers of a Watermill Router take effect once
// per message, by running them through an inbox.
//
// What it promises: the handler runs in a database transaction that also records the
// message's id, and the message is acknowledged after that transaction has committed.
// A delivery of a message that was handled before is acknowledged without running
// the handler. A handler that fails is run again, after pauses; a message that fails for
// good is parked in the database, acknowledged, and run again when an operator asks for
// it (Replay). See package inbox for the rest.
//
// What it needs: an inbox (package inbox), handlers that write through the
// transaction in the message's context, and messages whose UUID is unique across
// every service that produces them, as watermill.NewUUID's and Postroom's are.
//
//	router.AddMiddleware(inboxwatermill.Middleware(ib, db))
//	router.AddConsumerHandler("billing", "orders", subscriber, func(msg *message.Message) error {
//		tx := inboxwatermill.MustTx(msg.Context())
//		_, err := tx.ExecContext(msg.Context(), "INSERT INTO invoices …")
//		return err
//	})
//
// The consumer's name belongs to the handler: a middleware of the whole router
// makes all its handlers one consumer, of which a message is handled by the first
// alone. Where two handlers read the same messages, give each an inbox of its own
// with Handler.AddMiddleware.
//
// Messages that a handler returns are published by the router after the commit, and
// so are lost if the process dies in between: the redelivery is a duplicate, and the
// handler does not run again. To send messages for certain, write them to an outbox
// in the same transaction, for example with package outboxwatermill:
//
//	publisher := outboxwatermill.NewPublisher(ob, inboxwatermill.MustTx(msg.Context()))
//
// A handler does not call Ack or Nack itself: acknowledged before the commit, a
// message whose commit fails is lost.
package inboxwatermill
