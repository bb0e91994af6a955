// Package relay forwards events from an outbox table to a broker.
//
// What it promises: every event whose transaction committed is delivered at least
// once, and none whose transaction rolled back. Events of one topic and key are
// delivered in the order in which their transactions committed, provided their writers
// are serialised or use outbox.StrictKeyOrder. Duplicates come only after a crash, a
// lost lease, a failover of the database, or an answer lost by a sink that is not
// idempotent; even then the first copies are in order. An outage of the broker costs
// time, never an event. Memory is bounded by Config, whatever the backlog.
//
// It works like this: a row in outbox_events is an undelivered event. The relay reads rows, hands them to a
// Sink, and deletes exactly those that the sink acknowledged. Everything else that it remembers, such as how
// far it has read, is a hint that may be lost at any time.
//
//   - session.go, cursor.go: which rows are read, and when the relay stops waiting for an id.
//   - deliver.go: which records go to the sink now, and which wait.
//   - internal/inflight: which rows were read and are not deleted yet.
//   - deleter.go, leftover.go: which rows are deleted, and why no other row can be.
//   - relay.go, lease.go, term.go: which relay may do all this, and for how long.
//
// It needs the tables of package migrations, SELECT and DELETE on outbox_events, and SELECT and UPDATE on
// outbox_leases. The database must be the primary, not a standby. Sinks are in the packages relaykafka and
// relaywatermill. relay itself imports none of their libraries.
package relay
