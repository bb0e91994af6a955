package replica

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Table is the table that a replica writes. All names must be valid.
type Table struct {
	Replica string   // its name in inbox_replica_rows
	Schema  string   // PostgreSQL only
	Table   string   // where the rows go
	Key     []string // the primary key, or a unique one
	Columns []string // all others
}

// Change is a version of a row, or its deletion.
type Change struct {
	RowKey  string // the key as text
	Version int64
	Deleted bool
	RunID   string // the backfill that sent it; empty: none
	Again   bool   // unless Deleted, it may be written over the row of the same version
	Key     []any  // values of the key's columns
	Values  []any  // of the others; nil when deleted
}

// End is what an end marker of a backfill says.
type End struct {
	RunID   string
	Sent    int64
	Started time.Time
}

// Store writes one replica. Safe for concurrent use.
type Store struct {
	names db.Names
	table Table
	name  string // quoted

	sql   statements
	mysql mysqlStatements // filled on MySQL alone
}

// New returns the writer of t for the installation n.
func New(n db.Names, t Table) (*Store, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	r := &Store{names: n, table: t, name: db.Names{Dialect: n.Dialect, Schema: t.Schema}.Table(t.Table)}
	own := db.For(n.Dialect, []any{&r.sql}, []any{&r.sql, &r.mysql}, []any{&r.sql})
	return r, db.Load(files, n, own...)
}

// replicaBatch is the largest number of rows in one statement. With many columns there are
// fewer rows, because SQLite limits the number of parameters.
func (r *Store) batch(columns int) int { return max(1, min(1000, 32000/columns)) }

// Upsert writes rows that Claim let through.
func (r *Store) Upsert(ctx context.Context, tx db.Execer, changes []Change) error {
	columns := slices.Concat(r.table.Key, r.table.Columns)
	for part := range slices.Chunk(changes, r.batch(len(columns))) {
		var b strings.Builder
		b.WriteString("INSERT INTO " + r.name + " (" + r.list(columns) + ") VALUES ")
		args := make([]any, 0, len(part)*len(columns))
		for i, c := range part {
			if i > 0 {
				b.WriteString(", ")
			}
			r.names.WriteParams(&b, len(args), len(columns))
			args = append(append(args, c.Key...), c.Values...)
		}
		b.WriteString(r.overwrite())
		if _, err := tx.ExecContext(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *Store) overwrite() string {
	columns := r.table.Columns
	if len(columns) == 0 {
		columns = r.table.Key[:1]
	}
	sets := make([]string, len(columns))
	for i, c := range columns {
		q := r.names.Quote(c)
		if r.names.Dialect == db.MySQL {
			sets[i] = q + " = VALUES(" + q + ")"
		} else {
			sets[i] = q + " = excluded." + q
		}
	}
	if r.names.Dialect == db.MySQL {
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	}
	return " ON CONFLICT (" + r.list(r.table.Key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func (r *Store) list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = r.names.Quote(c)
	}
	return strings.Join(quoted, ", ")
}

// Delete removes rows that Claim let through.
func (r *Store) Delete(ctx context.Context, tx db.Execer, changes []Change) error {
	size := r.batch(1)
	if len(r.table.Key) > 1 {
		size = 200 // SQLite takes expressions of at most 1000 levels, and each OR is one
	}
	for part := range slices.Chunk(changes, size) {
		var b strings.Builder
		var args []any
		if len(r.table.Key) == 1 {
			b.WriteString("DELETE FROM " + r.name + " WHERE " + r.names.Quote(r.table.Key[0]) + " IN ")
			r.names.WriteParams(&b, 0, len(part))
			for _, c := range part {
				args = append(args, c.Key[0])
			}
		} else {
			b.WriteString("DELETE FROM " + r.name + " WHERE ")
			for i, c := range part {
				if i > 0 {
					b.WriteString(" OR ")
				}
				b.WriteString("(")
				for k, column := range r.table.Key {
					if k > 0 {
						b.WriteString(" AND ")
					}
					args = append(args, c.Key[k])
					b.WriteString(r.names.Quote(column) + " = " + r.names.Param(len(args)))
				}
				b.WriteString(")")
			}
		}
		if _, err := tx.ExecContext(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}
