package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
)

// Driver errors are recognised by their methods and fields, so that no driver is
// imported:
//
//   - PostgreSQL: SQLState() string (pgx's PgError and lib/pq's Error have it),
//     https://www.postgresql.org/docs/current/errcodes-appendix.html
//   - SQLite: Code() int, the extended result code, https://www.sqlite.org/rescode.html
//   - MySQL: a field Number uint16, by reflection,
//     https://mariadb.com/kb/en/mariadb-error-code-reference/

// SQLState returns PostgreSQL's five-character code, or "".
func SQLState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// SQLiteCode returns SQLite's extended result code, or 0.
func SQLiteCode(err error) int {
	var e interface{ Code() int }
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// MySQLNumber returns the server's error number, or 0. It looks for the type
// MySQLError of a package called mysql with a field Number, which is go-sql-driver's.
// A test compares it with the real driver.
func MySQLNumber(err error) int {
	for _, e := range Chain(err) {
		v := reflect.ValueOf(e)
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || v.Type().Name() != "MySQLError" {
			continue
		}
		if f := v.FieldByName("Number"); f.IsValid() && f.CanUint() {
			return int(f.Uint())
		}
	}
	return 0
}

// ConstraintName returns the constraint that PostgreSQL's error names, or "": a field ConstraintName, which is
// pgx's, or Constraint, lib/pq's, of the error that has the SQLSTATE.
func ConstraintName(err error) string {
	for _, e := range Chain(err) {
		if _, ok := e.(interface{ SQLState() string }); !ok {
			continue
		}
		v := reflect.Indirect(reflect.ValueOf(e))
		if v.Kind() != reflect.Struct {
			continue
		}
		for _, field := range []string{"ConstraintName", "Constraint"} {
			if f := v.FieldByName(field); f.IsValid() && f.Kind() == reflect.String {
				return f.String()
			}
		}
	}
	return ""
}

// Chain lists err and everything that it wraps.
func Chain(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = append(all, Chain(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, wrapped := range e.Unwrap() {
			all = append(all, Chain(wrapped)...)
		}
	}
	return all
}

// IsMissingTable reports whether a statement named a table or schema that does not exist.
func IsMissingTable(err error) bool {
	if err == nil {
		return false
	}
	switch SQLState(err) {
	case "42P01", "3F000":
		return true
	}
	return MySQLNumber(err) == 1146 || SQLiteCode(err) == 1 && strings.Contains(err.Error(), "no such table")
}

// IsMissingColumn reports whether a statement named a column that does not exist: an older build made the table.
func IsMissingColumn(err error) bool {
	return SQLState(err) == "42703" || MySQLNumber(err) == 1054 ||
		SQLiteCode(err) == 1 && (strings.Contains(err.Error(), "no such column") ||
			strings.Contains(err.Error(), "has no column named"))
}

// IsPreparedStatement reports whether a named prepared statement of PostgreSQL exists already, or does not exist. The
// driver made it on another connection than the present one, as behind pgbouncer in transaction mode.
func IsPreparedStatement(err error) bool {
	state := SQLState(err)
	return state == "42P05" || state == "26000"
}

// NothingListens is what to try after an error that IsRefused reports.
const NothingListens = "nothing listens there: check that the server runs, and the host and port in the URL"

// IsRefused reports whether a connection was refused: no process has the port.
func IsRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// IsSyntax reports whether the database does not understand a statement. Our statements are
// tested on their databases, so it is most likely another database than the dialect says.
func IsSyntax(err error) bool {
	return SQLState(err) == "42601" || MySQLNumber(err) == 1064 ||
		SQLiteCode(err) == 1 && strings.Contains(err.Error(), "syntax error")
}

// IsDuplicate reports whether a row with the same unique key exists already.
func IsDuplicate(err error) bool {
	const sqliteUnique, sqlitePrimaryKey = 2067, 1555
	code := SQLiteCode(err)
	return SQLState(err) == "23505" || MySQLNumber(err) == 1062 || code == sqliteUnique || code == sqlitePrimaryKey
}

// MovedPartition marks the error of a row for which a partition was attached after PostgreSQL had chosen
// the row's partition and before it had locked it. The same statement in a new transaction finds the new one.
type MovedPartition struct{ Err error }

func (e MovedPartition) Error() string { return e.Err.Error() }

// Unwrap returns the driver's error.
func (e MovedPartition) Unwrap() error { return e.Err }

// IsSerialization reports whether the database ended the transaction because of another one
// (deadlock, lock timeout, serialization failure, busy). The transaction may succeed when it is repeated.
func IsSerialization(err error) bool {
	if errors.As(err, new(MovedPartition)) {
		return true
	}
	switch SQLState(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	switch MySQLNumber(err) {
	case 1205, 1213, 1020: // the last one of MariaDB, whose innodb_snapshot_isolation is on from 11.6
		return true
	}
	return IsBusy(err)
}

// IsLockTimeout reports whether a row or a table stayed locked for longer than the
// statement may wait.
func IsLockTimeout(err error) bool {
	return SQLState(err) == "55P03" || MySQLNumber(err) == 1205
}

// IsBusy reports whether SQLite rejected a statement because another connection writes, or
// has written since this transaction began to read: "database is locked".
func IsBusy(err error) bool {
	const sqliteBusy, sqliteLocked = 5, 6
	primary := SQLiteCode(err) & 0xff
	return primary == sqliteBusy || primary == sqliteLocked
}

// IsTxAborted reports whether PostgreSQL rejected a statement because an earlier one of the
// transaction had failed, whose error has that statement's reason.
func IsTxAborted(err error) bool { return SQLState(err) == "25P02" }

// IsDenied reports whether the user lacks a right on a table.
func IsDenied(err error) bool {
	if SQLState(err) == "42501" {
		return true
	}
	switch MySQLNumber(err) {
	case 1044, 1142, 1143, 1227, 1370:
		return true
	}
	return false
}

// IsConnection reports whether the database could not be reached, or the connection
// ended before the answer. The last statement, even a COMMIT, may have taken effect or
// not. It is false if a context ended, although drivers then close the connection.
func IsConnection(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	// Not net.Error: context.DeadlineExceeded satisfies it, and other things that time out.
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.As(err, &op), errors.As(err, &dns):
		return true
	}
	switch state := SQLState(err); state {
	case "57P01", "57P02", "57P03", "53300": // shut down, crashed, starting; too many connections
		return true
	case "25P03", "25P04", "57P05": // see IsTimeLimit: the server has closed the connection
		return true
	default:
		if strings.HasPrefix(state, "08") {
			return true
		}
	}
	switch MySQLNumber(err) {
	case 1040, 1203, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927:
		// Too many connections; shutdown; aborted connection, packets not read or written in time; killed.
		return true
	}
	for _, e := range Chain(err) {
		switch e.Error() {
		case "invalid connection", "conn closed": // go-sql-driver's ErrInvalidConn, pgconn's
			return true
		}
	}
	return false
}

// IsTimeLimit reports whether PostgreSQL closed the connection because its transaction stood idle, or was open, for
// longer than the server allows (idle_in_transaction_session_timeout, transaction_timeout), or the session stood idle
// (idle_session_timeout). MySQL's idle limits close a connection without an error message.
func IsTimeLimit(err error) bool {
	switch SQLState(err) {
	case "25P03", "25P04", "57P05":
		return true
	}
	return false
}

// IsStatementLimit reports whether the server ended a statement, and not its connection, for the time that it took, or
// because an administrator cancelled it: PostgreSQL's statement_timeout, MariaDB's max_statement_time, KILL QUERY.
func IsStatementLimit(err error) bool {
	if SQLState(err) == "57014" {
		return true
	}
	switch MySQLNumber(err) {
	case 1317, 1969, 3024:
		return true
	}
	return false
}

// IsUnavailable reports whether the database answers, but cannot execute any such statement at present. It is
// read-only, like a standby after a failover, or it has no disk space, memory or other resource left.
func IsUnavailable(err error) bool {
	const readOnly, temporaryFileLimit = "25006", "53400"
	switch state := SQLState(err); {
	case state == readOnly, strings.HasPrefix(state, "58"): // 58: errors of the system below, as of a disk
		return true
	case strings.HasPrefix(state, "53"):
		return state != temporaryFileLimit // one statement's own doing
	}
	switch MySQLNumber(err) {
	case 1290, 1836: // read-only
		return true
	case 3, 1021, 1026, 1114: // a disk is full; 1114 is InnoDB's word for it
		return true
	case 1037, 1041: // memory
		return true
	}
	const sqliteFull, sqliteIOError = 13, 10
	primary := SQLiteCode(err) & 0xff
	return primary == sqliteFull || primary == sqliteIOError
}

// IsTimeout reports whether a statement was ended because it took or waited too long.
func IsTimeout(err error) bool {
	switch SQLState(err) {
	case "57014", "55P03": // canceled by statement_timeout; lock not granted in time
		return true
	}
	switch MySQLNumber(err) {
	case 1205, 1969, 3024: // lock wait; MariaDB's and MySQL's limit of a statement
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// IsTxDone reports whether the transaction was committed or rolled back before.
func IsTxDone(err error) bool {
	return errors.Is(err, sql.ErrTxDone) || err != nil && err.Error() == "tx is closed" // pgx.ErrTxClosed
}
