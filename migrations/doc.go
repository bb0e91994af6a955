// Package migrations makes Postroom's tables.
//
// The tables are plain SQL files, one folder per dialect, in a format that goose
// reads; FS has them as they are, Print as they run for a prefix and a schema, and
// docs/tables.md says what each column means. Users of another migration tool take
// what Print returns.
//
// What the package promises:
//
//   - Apply brings the tables to the version that this build knows. Doing it again
//     changes nothing. Any number of processes may do it at the same time: one
//     works, the others wait for it, and take over when it dies.
//   - Applied versions are kept in a table of Postroom's own, <prefix>postroom_schema,
//     never in goose_db_version. Two installations with different prefixes or schemas
//     do not know of each other.
//   - There is only up. A file, once released, is never changed.
//   - On PostgreSQL and SQLite a file is applied whole or not at all. MySQL and MariaDB
//     commit every CREATE TABLE by itself; there each statement can be repeated, and
//     Apply does so after a failure in the middle.
//   - No session state is used, no advisory lock and no SET, so that Apply works
//     through pgbouncer in transaction mode. With pgx set default_query_exec_mode=exec
//     there, as for anything else behind pgbouncer before 1.21.
//
// What it needs: a *sql.DB of any driver for the dialect (none is imported here), and
// for Apply the right to create tables. Check and Status only read
// <prefix>postroom_schema. All functions are safe for concurrent use.
package migrations
