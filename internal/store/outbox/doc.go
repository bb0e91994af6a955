// Package outbox has the statements of services that write events: the inserts, the locks on keys, what
// takes back a scheduled event, the runs of backfills, and what tests of users' code read.
package outbox
