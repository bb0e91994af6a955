package dialect

import (
	"context"
	"slices"
	"strings"
	"time"
)

// ReplicaTable is the table that a replica writes. All names must be valid.
type ReplicaTable struct {
	Replica string   // its name in inbox_replica_rows
	Schema  string   // PostgreSQL only
	Table   string   // where the rows go
	Key     []string // the primary key, or a unique one
	Columns []string // all others
}

// ReplicaChange is a version of a row, or its deletion.
type ReplicaChange struct {
	RowKey  string // the key as text
	Version int64
	Deleted bool
	RunID   string // the backfill that sent it; empty: none
	Again   bool   // unless Deleted, it may be written over the row of the same version
	Key     []any  // values of the key's columns
	Values  []any  // of the others; nil when deleted
}

// ReplicaEnd is what an end marker of a backfill says.
type ReplicaEnd struct {
	RunID   string
	Sent    int64
	Started time.Time
}

// Replica writes one replica. Safe for concurrent use.
type Replica struct {
	names Names
	table ReplicaTable
	name  string // quoted
}

// NewReplica returns the writer of t for the installation n.
func NewReplica(n Names, t ReplicaTable) (*Replica, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return &Replica{names: n, table: t, name: Names{Dialect: n.Dialect, Schema: t.Schema}.Table(t.Table)}, nil
}

// replicaBatch is the largest number of rows in one statement; with many columns it
// is fewer, for SQLite's limit of parameters.
func (r *Replica) batch(columns int) int { return max(1, min(1000, 32000/columns)) }

// now is the database's clock, as an expression.
func now(n Names) string {
	switch n.Dialect {
	case PostgreSQL:
		return "clock_timestamp()"
	case MySQL:
		return "utc_timestamp(6)"
	default:
		return "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
	}
}

// Upsert writes rows that Claim let through.
func (r *Replica) Upsert(ctx context.Context, tx Execer, changes []ReplicaChange) error {
	columns := slices.Concat(r.table.Key, r.table.Columns)
	for part := range slices.Chunk(changes, r.batch(len(columns))) {
		var b strings.Builder
		b.WriteString("INSERT INTO " + r.name + " (" + r.list(columns) + ") VALUES ")
		args := make([]any, 0, len(part)*len(columns))
		for i, c := range part {
			if i > 0 {
				b.WriteString(", ")
			}
			r.tuple(&b, len(args), len(columns))
			args = append(append(args, c.Key...), c.Values...)
		}
		b.WriteString(r.overwrite())
		if _, err := tx.ExecContext(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replica) overwrite() string {
	columns := r.table.Columns
	if len(columns) == 0 {
		columns = r.table.Key[:1]
	}
	sets := make([]string, len(columns))
	for i, c := range columns {
		q := r.names.Quote(c)
		if r.names.Dialect == MySQL {
			sets[i] = q + " = VALUES(" + q + ")"
		} else {
			sets[i] = q + " = excluded." + q
		}
	}
	if r.names.Dialect == MySQL {
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	}
	return " ON CONFLICT (" + r.list(r.table.Key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func (r *Replica) tuple(b *strings.Builder, after, count int) {
	if r.names.Dialect == PostgreSQL {
		writeNumbered(b, after, count)
		return
	}
	b.WriteString("(?" + strings.Repeat(", ?", count-1) + ")")
}

func (r *Replica) list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = r.names.Quote(c)
	}
	return strings.Join(quoted, ", ")
}

// Delete removes rows that Claim let through.
func (r *Replica) Delete(ctx context.Context, tx Execer, changes []ReplicaChange) error {
	size := r.batch(1)
	if len(r.table.Key) > 1 {
		size = 200 // SQLite takes expressions of at most 1000 levels, and each OR is one
	}
	for part := range slices.Chunk(changes, size) {
		var b strings.Builder
		var args []any
		if len(r.table.Key) == 1 {
			b.WriteString("DELETE FROM " + r.name + " WHERE " + r.names.Quote(r.table.Key[0]) + " IN ")
			r.tuple(&b, 0, len(part))
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
