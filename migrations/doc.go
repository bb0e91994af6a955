// Package migrations creates and changes Postroom's tables.
//
// The tables are plain SQL files, in one folder per dialect, in the format of goose. FS returns them unchanged, and
// Print returns them for a prefix and a schema. docs/tables.md explains each column. Users of another migration tool
// take what Print returns.
//
// The package promises:
//
//   - Apply brings the tables to the version of this build. A second Apply changes nothing. Several processes may call
//     it at the same time: one works, and the others wait. If it dies, another one takes over.
//   - Applied versions are recorded in Postroom's own table, <prefix>postroom_schema, never in goose_db_version. Two
//     installations with different prefixes or schemas are independent.
//   - There are only migrations up. A released file is never changed.
//   - On PostgreSQL and SQLite a file is applied completely or not at all. MySQL and MariaDB commit each CREATE TABLE
//     by itself; there each statement can be repeated, and Apply repeats the file after a failure.
//   - Apply uses no session state, no advisory lock and no SET. So it works through pgbouncer in transaction mode. With
//     pgx, set default_query_exec_mode=exec there, as for everything behind pgbouncer before 1.21.
//
// It needs a *sql.DB of any driver for the dialect (it imports none), and for Apply the right to create tables. Check
// and Status only read <prefix>postroom_schema. All functions are safe for concurrent use.
//
// # To add a migration
//
//   - Write a file for each dialect, with the next number and the scope in its name: 00009_outbox_…sql or
//     00009_inbox_…sql. It begins with `-- +goose Up`. On MySQL each statement must be repeatable.
//   - A new CHECK must allow the rows that exist: NOT VALID on PostgreSQL. SQLite cannot change a constraint of a
//     table. Events are in outbox_events and outbox_scheduled; both have the same limits.
//   - Begin a line with each CREATE TABLE, CREATE INDEX and (ADD) CONSTRAINT: a test looks there for names without the
//     prefix, and fails on a file that names nothing.
//   - Add the file to allFiles in apply_test.go, run `go test ./migrations -run Golden -update` and read the diff.
//   - Tests in apply_test.go and check_test.go name the newest file; those in tables_test.go try the limits of columns.
//   - Describe the columns and limits in docs/tables.md, and say in CHANGELOG.md how to upgrade.
package migrations
