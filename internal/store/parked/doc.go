// Package parked has the operations of an operator on parked rows: list them, show one, ask for rows to be sent or
// run again, or dropped. It reads rows and sets their state. Only the relay that owns the source, or the consumer,
// adds and removes rows.
//
// The same code serves both tables, outbox_parked and inbox_parked. Each table has a description of what differs
// (outbox.go, inbox.go) and a folder of .sql files. The package has no text for the command line: its errors name
// the rows, and package ops says what to type.
package parked
