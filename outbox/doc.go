// Package outbox writes domain events in the transaction that changes a
// service's own data.
//
// What it promises: the relay delivers an event that Add took if and only if the
// caller's transaction commits. Events of one topic and key are delivered in the
// order in which their transactions committed. For that the writers of a key must
// wait for each other. They do if each locks the aggregate's row first. If they do
// not, use StrictKeyOrder.
//
// What it needs: the outbox tables (package migrations, or `relay migrate up`),
// INSERT on outbox_events, and a relay that reads the table.
//
//	ob, err := outbox.New(outbox.PostgreSQL)
//	…
//	err = ob.Add(ctx, tx, outbox.Event{Topic: "orders", Key: order.ID, Type: "order.placed", Payload: body})
//
// An event with a DeliverAt is not delivered before that time. Until then Cancel can
// take it back.
//
// It imports only the standard library and google/uuid. Adapters for gorm, pgx
// and Watermill are the packages outboxgorm, outboxpgx and outboxwatermill.
package outbox
