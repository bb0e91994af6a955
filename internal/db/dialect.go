package db

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Dialect names a family of databases that speak the same SQL.
type Dialect string

// The dialects that Postroom speaks.
const (
	// PostgreSQL is PostgreSQL 15 and later.
	PostgreSQL Dialect = "postgresql"
	// MySQL is MySQL 8 and MariaDB 10.6, and later.
	MySQL Dialect = "mysql"
	// SQLite is SQLite 3.35 and later.
	SQLite Dialect = "sqlite"
)

// Dialects lists all dialects. Tests that concern every dialect use this list.
var Dialects = []Dialect{PostgreSQL, MySQL, SQLite}

// Validate returns an error that names the known dialects if d is none of them.
func (d Dialect) Validate() error {
	if slices.Contains(Dialects, d) {
		return nil
	}
	return fmt.Errorf("unknown dialect %q: use %q, %q (also for MariaDB) or %q", string(d), PostgreSQL, MySQL, SQLite)
}

// Execer runs statements: a *sql.DB, *sql.Conn or *sql.Tx, or an adapter over another driver's transaction.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Queryer runs statements and queries.
type Queryer interface {
	Execer
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
