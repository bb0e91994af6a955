// Package replica keeps a table equal to another service's rows.
//
// Apply takes versions of rows, and deletions, in any order and any number of times. The table ends with the newest
// version of each row: an older version never overwrites a newer one, and never restores a row that was deleted. The
// source must give each change of a row a version: a positive number that grows with every change, and continues to
// grow when a deleted row is recreated.
//
// The table inbox_replica_rows has the version of each key. It is the gate that each change must pass. For a deleted
// row, the version stays there as a tombstone. A batch passes the gate in one statement (two on MySQL). Then one
// statement deletes rows, and another one writes rows. One statement for all of it would be wrong: on PostgreSQL, a
// statement that waits at the gate for another transaction continues with the snapshot that it began with, so its
// DELETE would not see the row that the other transaction has just inserted.
//
// A backfill (outbox/backfill) makes a replica complete. When all rows of a run have arrived, Tidy removes the rows
// that the source no longer has. Rows are counted, so rows and the end marker may come in any order, any number of
// times and through any partition. A row of a backfill overwrites a row of the same version, which repairs damage to
// the replica's table.
//
// Only the replica may write to the table. The table has no unique index except that of its key. The transactions need
// READ COMMITTED (PostgreSQL) or any isolation level (MySQL, MariaDB, SQLite).
//
// # For those who change this package
//
// A change takes these steps: handler.go gets it from the inbox, decode.go reads the message, and replica.go (Apply)
// takes it through the gate to the table. rows.go turns a change into a row and a key, and values.go turns a value into
// what the database takes. tidy.go ends backfills and deletes tombstones.
//
// Compare does not use these steps: compare.go declares it, compare_run.go reads both sides and finds the differences,
// and compare_values.go writes equal values of two databases in the same form.
package replica
