// Package replica keeps a table in step with another service's data.
//
// Apply takes versions of rows, and deletions, in any order and any number of copies,
// and the table ends with the newest version of each: an older one never overwrites a
// newer one, and does not bring back a row that was deleted. For that it needs a
// version, a positive number of the source's own that grows with every change of a row
// and goes on when a deleted row is made again.
//
// The version of each key stands in inbox_replica_rows, the gate; for a deleted row it
// stays there as a tombstone. A batch passes the gate in one statement (two on MySQL),
// then deletions that were let through are made in one statement, and rows written in
// one more. It is not one statement for all: on PostgreSQL a statement that waits at
// the gate for another transaction goes on with the snapshot that it began with, and its
// DELETE would not see the row which that transaction has just inserted.
//
// A backfill (outbox/backfill) makes a replica complete: Tidy removes rows that the
// source no longer has, once every row of the run has arrived. That is counted, so it
// does not matter in which order, how often and through which partition the rows and
// the end marker come. A row of a backfill is written again over one of the same
// version, which mends what was done to the replica's table.
//
// The table is written by the replica alone, and has no unique index but its key's. Its
// transactions need READ COMMITTED (PostgreSQL) or any isolation (MySQL, MariaDB, SQLite).
//
// # For those who change this package
//
// A change takes these steps: handler.go gets it from the inbox, decode.go reads the message, and replica.go (Apply)
// takes it through the gate to the table, with rows.go (a change as a row and a key) and values.go (a value as the
// database takes it). tidy.go ends backfills and deletes tombstones.
//
// Compare is apart from these: compare.go declares it, compare_run.go reads both sides and finds what differs, and
// compare_values.go writes the same value of two databases in the same way.
package replica
