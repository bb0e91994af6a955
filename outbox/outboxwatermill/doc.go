// Package outboxwatermill connects Watermill to the outbox, in two ways.
//
// Publisher is a message.Publisher over an open transaction: what Watermill
// publishes through it, for example its CQRS EventBus, becomes events in
// outbox_events, and is delivered by the relay if and only if the transaction commits.
//
// SQLAdapter is a SchemaAdapter and an OffsetsAdapter for watermill-sql/v3, for
// programs that use that library's Publisher and Subscriber already. Its Publisher then
// writes rows of outbox_events, which the relay delivers. Its Subscriber takes events
// from the table.
//
// Both turn a message into an event in the same way. The UUID is the event's id, the
// metadata are its headers, and the payload is its payload. The metadata "name", where
// Watermill's CQRS puts the event's name, is also its type. The key comes from WithKey.
// Without WithKey events have no key, and so no order.
//
// What the Subscriber promises, and what not:
//   - It replaces the relay. If both run, both deliver.
//   - It deletes a row when its message is acknowledged. So a message is delivered again
//     after a crash.
//   - There are no consumer groups: each message goes to one subscriber.
//   - It handles one message of a topic at a time, and holds a transaction while the
//     handler works. On PostgreSQL this keeps vacuum from removing old rows.
//   - Its order is weaker than the relay's. On MySQL and MariaDB one read is no atomic
//     snapshot, and can return an event before an earlier one of its key. If a message is
//     not acknowledged in time, another subscriber handles it, while the first one may
//     still be working on it.
package outboxwatermill
