// Package conformance is one suite that every database and the whole relay pass. It
// uses what users use, the packages outbox, relay and migrations, and plain SQL; so it
// says nothing about how the relay works inside.
//
// TestInstallations runs every scenario on every installation: PostgreSQL 15 and 18,
// PostgreSQL behind pgbouncer, MariaDB and SQLite, with the tables' default names and
// with a prefix (and a schema). The scenarios' sink keeps what it is given, and holds
// back, fails, rejects or blocks on command. TestWriterStress and TestThroughPgBouncer
// take the full path to a real Kafka. Package history judges what arrived there.
package conformance
