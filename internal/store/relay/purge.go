package relay

import (
	"context"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Old selects the rows of a table that are to be purged: those whose column is more than Age ago, by the
// database's clock.
type Old struct {
	table, column string
	Age           time.Duration
}

// Table is the default name of the table.
func (o Old) Table() string { return o.table }

// OldArchived selects the archived events that were delivered more than age ago.
func OldArchived(age time.Duration) Old { return Old{db.Archive, "delivered_at", age} }

// OldDrops selects the notes of events that were dropped more than age ago.
func OldDrops(age time.Duration) Old { return Old{db.Drops, "dropped_at", age} }

// Purge deletes at most limit rows, the oldest first, and returns the number. If it is below limit, no more
// rows are left.
func (c *conn) Purge(ctx context.Context, o Old, limit int) (int64, error) {
	return db.Affected(c.pool.ExecContext(ctx, c.fillOld(c.sql.Purge, o, limit)))
}

// CountOld counts the rows that Purge would delete.
func (c *conn) CountOld(ctx context.Context, o Old) (n int64, err error) {
	err = c.pool.QueryRowContext(ctx, c.fillOld(c.sql.CountOld, o, 0)).Scan(&n)
	return n, err
}

func (c *conn) fillOld(statement string, o Old, limit int) string {
	values := ageValues(o.Age)
	values["table"], values["column"], values["limit"] = db.SQL(c.names.Table(o.table)), db.SQL(o.column), limit
	return db.Fill(statement, values)
}
