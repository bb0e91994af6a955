package kit

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/postroom/postroom/outbox"
)

// Bind writes the ? of a statement as the database wants them: PostgreSQL's are $1, $2, … The statement must have no
// question mark in a text.
func (d *DB) Bind(statement string) string {
	if d.Dialect != outbox.PostgreSQL {
		return statement
	}
	var bound strings.Builder
	for n, part := range strings.Split(statement, "?") {
		if n > 0 {
			bound.WriteString("$" + strconv.Itoa(n))
		}
		bound.WriteString(part)
	}
	return bound.String()
}

// InsertNew inserts a row unless there is one of the same key, and tells which. The first column is in the key. If
// another transaction is just inserting the key, InsertNew waits until that one has ended.
//
// It is not "SELECT, then INSERT if there is none": two requests at the same time would both find none.
func (d *DB) InsertNew(ctx context.Context, tx *sql.Tx, table string, columns []string, values ...any) (bool, error) {
	statement := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" +
		strings.Repeat(", ?", len(columns)-1) + ")"
	if d.Dialect == outbox.MySQL {
		// Not INSERT IGNORE: that one also ignores values that do not fit.
		statement += " ON DUPLICATE KEY UPDATE " + columns[0] + " = " + table + "." + columns[0]
	} else {
		statement += " ON CONFLICT DO NOTHING"
	}
	result, err := tx.ExecContext(ctx, d.Bind(statement), values...)
	if err != nil {
		return false, err
	}
	inserted, err := result.RowsAffected()
	return inserted == 1, err
}

// ForUpdate is what ends a SELECT that locks its rows until the end of the transaction. SQLite needs nothing: there a
// transaction has locked the whole database.
func (d *DB) ForUpdate() string {
	if d.Dialect == outbox.SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// ForShare is what ends a SELECT whose rows nobody may change until the end of the transaction. Others may read them in
// the same way meanwhile.
func (d *DB) ForShare() string {
	switch d.Dialect {
	case outbox.PostgreSQL:
		return " FOR SHARE"
	case outbox.MySQL:
		return " LOCK IN SHARE MODE"
	}
	return ""
}
