// Package outbox has the statements of services that write events: inserts, locks on keys, cancelling a
// scheduled event, the runs of backfills, and the reads of outboxtest.
package outbox
