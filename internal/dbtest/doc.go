// Package dbtest gives tests fresh databases and topics on real servers. Only
// tests import it.
//
// Every database is empty (or migrated, where the name says so), is the caller's
// alone, and is dropped when the test ends. The servers' addresses come from the
// environment (`eval "$(dev/services env)"`); a server that is missing skips the
// test with a line that says how to get it, and fails it when CI=true. SQLite needs
// no server and is never skipped.
package dbtest
