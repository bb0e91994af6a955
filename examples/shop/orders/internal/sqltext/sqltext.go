// Package sqltext lets the packages of orders write each statement once for PostgreSQL, MariaDB and SQLite.
package sqltext

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/postroom/postroom/outbox"
)

// Queryer reads: a *sql.DB, which sees what was committed, or a *sql.Tx, which sees its own writes as well.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Bind writes PostgreSQL's $1, $2 … for the placeholders ?. No statement here has a ? in a literal.
func Bind(d outbox.Dialect, query string) string {
	if d != outbox.PostgreSQL {
		return query
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// OrIgnore makes an INSERT do nothing where a row of that key is there. A failed INSERT would not do: PostgreSQL ends
// the transaction with it.
func OrIgnore(d outbox.Dialect, insert string) string {
	if d == outbox.MySQL {
		return strings.Replace(insert, "INSERT INTO", "INSERT IGNORE INTO", 1)
	}
	return Bind(d, insert+" ON CONFLICT DO NOTHING")
}

// Create makes tables that are not there yet.
func Create(ctx context.Context, db *sql.DB, d outbox.Dialect, tables ...string) error {
	for _, table := range tables {
		if d == outbox.MySQL {
			// MariaDB's default compares ids without regard to case.
			table += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		}
		if _, err := db.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("create the tables: %w", err)
		}
	}
	return nil
}
