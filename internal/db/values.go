package db

import (
	"database/sql"
	"fmt"
	"time"
)

// For returns the value for d. It has no default: another dialect is another parameter, and the
// compiler names every call without it. It panics on a dialect that Validate rejects.
func For[T any](d Dialect, postgres, mysql, sqlite T) T {
	switch d {
	case PostgreSQL:
		return postgres
	case MySQL:
		return mysql
	case SQLite:
		return sqlite
	}
	panic(fmt.Sprintf("db.For has no value for dialect %q", string(d)))
}

// KeyArg sends the key as bytes if the column is binary, so that the connection's
// character set does not matter.
func (n Names) KeyArg(key string) any {
	return For[any](n.Dialect, key, []byte(key), key)
}

// TimeLayout is the form of a time as text. Every driver can send text, but some drivers
// convert a time.Time to another zone.
func (n Names) TimeLayout() string {
	const rfc3339 = "2006-01-02T15:04:05.000000Z" // of UTC, and the only form that SQLite's table takes
	return For(n.Dialect, rfc3339, "2006-01-02 15:04:05.000000", rfc3339)
}

// TimeText is the expression that shows a column of times as text in RFC 3339.
func (n Names) TimeText(column string) string {
	return For(n.Dialect,
		"to_char("+column+` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
		"DATE_FORMAT("+column+", '%Y-%m-%dT%H:%i:%s.%fZ')",
		"'' || "+column) // an expression: SQLite's drivers make a time of a column
}

// Micros is a duration that a query gave in microseconds; NULL is zero.
func Micros(v sql.NullInt64) time.Duration { return time.Duration(v.Int64) * time.Microsecond }

// Object scans a JSON object. Most are empty, and become nil without a copy.
type Object []byte

// Scan implements sql.Scanner.
func (o *Object) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*o = nil
	case string:
		if *o = nil; src != "{}" {
			*o = Object(src)
		}
	case []byte:
		if *o = nil; string(src) != "{}" {
			*o = append(Object(nil), src...) // the driver's buffer is not ours
		}
	default:
		return fmt.Errorf("a JSON object came as %T", src)
	}
	return nil
}
