// Package dialect is the only place that knows databases: every SQL statement
// that Postroom sends is written here, in one file per database and caller
// (postgres_outbox.go, mysql_relay.go, …).
//
// Callers declare the operations that they need as small interfaces of their
// own; the types here satisfy them. The package imports no driver: it tells
// driver errors apart by the methods and fields that they carry (errors.go).
package dialect
