// Package outboxwatermill connects Watermill to the outbox, in two ways.
//
// Publisher is a message.Publisher over an open transaction: what Watermill
// publishes through it, for example its CQRS EventBus, becomes events in
// outbox_events, and is delivered by the relay if and only if the transaction commits.
//
// SQLAdapter is a SchemaAdapter and an OffsetsAdapter for watermill-sql/v3, for
// programs that use that library's Publisher and Subscriber already: its Publisher then
// writes rows of outbox_events, which the relay delivers, and its Subscriber takes
// events from the table.
//
// In both a message becomes an event like this: UUID is the event's id, metadata are
// its headers, the metadata "name" (where Watermill's CQRS puts the event's name) is
// its type as well, the payload is the payload, and the key comes from WithKey. Without
// WithKey events have no key, and so no order.
//
// What the Subscriber promises, and what not: it takes the relay's place and must not
// run next to one, or both deliver. It deletes a row when its message is acknowledged,
// so a message comes again after a crash; there are no consumer groups, each message goes
// to one subscriber. It holds a transaction while the handler works, which on PostgreSQL
// keeps vacuum from cleaning up, and handles one message of a topic at a time. Its order
// is weaker than the relay's: on MySQL and MariaDB one read is no atomic snapshot,
// and can return an event before an earlier one of its key; and a message that is not
// acknowledged in time is handled by another subscriber while the first may still be at
// it.
package outboxwatermill
