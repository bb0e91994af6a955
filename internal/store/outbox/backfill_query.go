package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postroom/postroom/internal/db"
)

// BackfillRow is a row of a backfill's query.
type BackfillRow struct {
	Topic, Key, Type string
	Payload          []byte
	Position         any
	// Twice: the row before has the same position, as the database compares.
	Twice bool
}

// BackfillQuery is the query to read. Column is the column by which chunks are read, a valid name.
type BackfillQuery struct{ Text, Column string }

// from makes a table of the query.
func (q BackfillQuery) from() string {
	// This is on a new line, because the query may end with a comment.
	return " FROM (" + strings.TrimRight(q.Text, "; \t\r\n") + "\n) AS postroom_backfill"
}

// Bounds returns the last position of the query, nil if there is none, and whether a
// row has no position.
func (b *Backfill) Bounds(ctx context.Context, tx db.Queryer, q BackfillQuery) (last any, without bool, err error) {
	name := b.names.Quote(q.Column)
	if without, err = b.first(ctx, tx, "SELECT 1"+q.from()+" WHERE "+name+" IS NULL LIMIT 1", new(any)); err != nil ||
		without {
		return nil, without, err
	}
	if _, err = b.first(ctx, tx, "SELECT "+name+q.from()+" ORDER BY "+name+" DESC LIMIT 1", &last); err != nil ||
		last == nil {
		return nil, false, err
	}
	last, err = b.position(q.Column, last)
	return last, false, err
}

func (b *Backfill) first(ctx context.Context, tx db.Queryer, query string, into *any) (found bool, err error) {
	err = db.Each(ctx, tx, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(into)
	}, query)
	return found, err
}

// Read returns up to limit rows of the query after the run's place.
//
// The database decides which positions are equal. In its collation a and A may be equal, and
// the second one would be skipped if a chunk ended between them.
func (b *Backfill) Read(
	ctx context.Context, tx db.Queryer, q BackfillQuery, run BackfillRun, limit int,
) ([]BackfillRow, error) {
	name := b.names.Quote(q.Column)
	columns := "topic, event_key, event_type, payload, " + name
	text := "SELECT " + columns + q.from()
	var args []any
	and := " WHERE "
	if run.Position != nil {
		args = append(args, run.Position)
		text += and + name + " > " + b.names.Param(len(args))
		and = " AND "
	}
	if run.Until != nil {
		args = append(args, run.Until)
		text += and + name + " <= " + b.names.Param(len(args))
	}
	args = append(args, limit)
	text += " ORDER BY " + name + " LIMIT " + b.names.Param(len(args))
	chunk := "SELECT " + columns + ", " + name + " = LAG(" + name + ") OVER (ORDER BY " + name + ") FROM (" + text +
		") AS postroom_chunk ORDER BY " + name
	var found []BackfillRow
	err := db.Each(ctx, tx, func(rows *sql.Rows) (err error) {
		var r BackfillRow
		var key, kind sql.NullString
		var twice sql.NullBool
		if err := rows.Scan(&r.Topic, &key, &kind, &r.Payload, &r.Position, &twice); err != nil {
			return err
		}
		r.Key, r.Type, r.Twice = key.String, kind.String, twice.Bool
		r.Position, err = b.position(q.Column, r.Position)
		found = append(found, r)
		return err
	}, chunk, args...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// position checks a driver's value of a position.
func (b *Backfill) position(column string, value any) (any, error) {
	switch p := value.(type) {
	case int64:
	case int32:
		value = int64(p)
	case uint64: // MySQL's BIGINT UNSIGNED; a text that is a number compares as one there
		if value = int64(p); p > math.MaxInt64 {
			value = strconv.FormatUint(p, 10)
		}
	case string:
	case []byte:
		if b.names.Dialect != db.MySQL { // where a driver may hand over text so
			return nil, notAPosition(column, p)
		}
		value = string(p)
	default:
		return nil, notAPosition(column, p)
	}
	// The run's place is kept as JSON, which is UTF-8. With other bytes a run would continue at another row.
	if text, ok := value.(string); ok && !utf8.ValidString(text) {
		return nil, fmt.Errorf("column %s holds bytes that are no UTF-8: have the query go by them as text, such as "+
			"hex(%s), with an index on that", column, column)
	}
	return value, nil
}

func notAPosition(column string, value any) error {
	return fmt.Errorf("column %s is %T: a backfill goes by a column of integers or text that is unique and never "+
		"NULL (of bytes the query can make text, such as hex(%s), with an index on that)", column, value, column)
}
