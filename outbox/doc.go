// Package outbox writes domain events in the transaction that changes a
// service's own data.
//
// What it promises: an event that Add took is delivered by the relay if and only
// if the caller's transaction commits. Events of one topic and key are delivered
// in the order in which their transactions committed, provided the writers of a key
// are serialised, as they are when each locks the aggregate's row first; where they
// do not, StrictKeyOrder does it for them.
//
// What it needs: the outbox tables (package migrations, or `relay migrate up`),
// INSERT on outbox_events, and a relay that reads the table.
//
//	ob, err := outbox.New(outbox.PostgreSQL)
//	…
//	err = ob.Add(ctx, tx, outbox.Event{Topic: "orders", Key: order.ID, Type: "order.placed", Payload: body})
//
// An event with a DeliverAt is delivered not before that time, and Cancel takes it back
// until then.
//
// Beside the standard library it imports google/uuid alone. Adapters for gorm, pgx
// and Watermill are the packages outboxgorm, outboxpgx and outboxwatermill.
package outbox
