package archive

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Selection chooses archived events: those that meet all of its conditions.
type Selection struct {
	Since, Until time.Time // delivered at Since or later, before Until; zero: no bound
	Topic        string    // "": any
	Key          *string   // nil: any
	Events       []uuid.UUID

	// After < seq <= UpTo. Set UpTo before anything is put back: events that are put back
	// are delivered and archived again, with higher numbers. A selection that includes
	// these would never end.
	After, UpTo int64
}

// Row names a row of the archive.
type Row struct {
	Seq   int64
	Bytes int64 // of the payload
}

// Matched is what a selection finds.
type Matched struct{ Count, First, Last int64 } // First and Last are seqs; 0: none

// Count counts the events that sel selects, each once.
func (s *Store) Count(ctx context.Context, sel Selection) (m Matched, err error) {
	statement, args := s.selecting(s.sql.Count, sel, 0)
	err = s.pool.QueryRowContext(ctx, statement, args...).Scan(&m.Count, &m.First, &m.Last)
	return m, err
}

// List lists the first rows that sel selects, in order of seq, at most limit.
func (s *Store) List(ctx context.Context, sel Selection, limit int) ([]Row, error) {
	statement, args := s.selecting(s.sql.List, sel, limit)
	return db.Rows(ctx, s.pool, func(r *Row) []any { return []any{&r.Seq, &r.Bytes} }, statement, args...)
}

// selecting adds the conditions of a selection to a statement.
func (s *Store) selecting(statement string, sel Selection, limit int) (string, []any) {
	c := conditions{names: s.names, args: []any{sel.After, sel.UpTo}}
	ofA, ofE := c.of("a", sel), c.of("e", sel) // in this order: so the arguments stand in the statement
	return db.Fill(statement, db.Values{"of_a": ofA, "of_e": ofE, "limit": limit}), c.args
}

// conditions are those of a selection, with their arguments.
type conditions struct {
	names db.Names
	args  []any
}

// of writes the conditions for the table that a statement calls so.
func (c *conditions) of(table string, sel Selection) db.SQL {
	var text strings.Builder
	and := func(column, is string, arg any, cast string) {
		c.args = append(c.args, arg)
		fmt.Fprintf(&text, " AND %s.%s %s %s%s", table, column, is, c.names.Param(len(c.args)), cast)
	}
	moment := db.For(c.names.Dialect, "::text::timestamptz", "", "")
	if !sel.Since.IsZero() {
		and("delivered_at", ">=", sel.Since.UTC().Format(c.names.TimeLayout()), moment)
	}
	if !sel.Until.IsZero() {
		and("delivered_at", "<", sel.Until.UTC().Format(c.names.TimeLayout()), moment)
	}
	if sel.Topic != "" {
		and("topic", "=", sel.Topic, "")
	}
	if sel.Key != nil {
		and("event_key", "=", c.names.KeyArg(*sel.Key), "")
	}
	if len(sel.Events) > 0 {
		text.WriteString(" AND " + table + ".event_id IN (" + string(uuidList(sel.Events)) + ")")
	}
	return db.SQL(text.String())
}

// Missing returns those of ids that the archive does not have, in their order.
func (s *Store) Missing(ctx context.Context, ids []uuid.UUID) (missing []uuid.UUID, err error) {
	there, err := db.Rows(ctx, s.pool, func(id *uuid.UUID) []any { return []any{id} },
		db.Fill(s.sql.Missing, db.Values{"event_ids": uuidList(ids)}))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.Contains(there, id) && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// uuidList returns ids as text for a statement, which is safe because they are hexadecimal digits.
func uuidList(ids []uuid.UUID) db.SQL {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = "'" + id.String() + "'"
	}
	return db.SQL(strings.Join(texts, ", "))
}
