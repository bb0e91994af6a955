// Package parked has what an operator asks of parked rows: to list them, to show one, to have rows sent or run
// again, or dropped. It reads rows and sets their state. Rows come and go only through the relay that owns the
// source, or through the consumer.
//
// One engine serves both tables, outbox_parked and inbox_parked. What differs between them is a description
// (outbox.go, inbox.go) and a folder of .sql files each. The package words nothing for the command line: its
// errors carry the rows that they are about, and package ops says what to type.
package parked
