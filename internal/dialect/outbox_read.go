package dialect

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
)

// Reader lists the rows of outbox_events; it is for tests of users' code, not for
// the relay. Safe for concurrent use.
type Reader struct{ query string }

// NewReader returns a reader for n, which must be valid.
func NewReader(n Names) (*Reader, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return &Reader{query: n.Expand(
		`SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers FROM {outbox_events} ORDER BY id`)}, nil
}

// ReadQueryer runs a query.
type ReadQueryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Rows returns all rows in the order of their ids.
func (r *Reader) Rows(ctx context.Context, db ReadQueryer) (all []EventRow, err error) {
	rows, err := db.QueryContext(ctx, r.query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func scanEvent(rows *sql.Rows) (EventRow, error) {
	var (
		row       EventRow
		id        string
		key       sql.NullString
		tombstone bool
	)
	if err := rows.Scan(&id, &row.Topic, &key, &row.Type, &row.Payload, &tombstone, &row.Headers); err != nil {
		return EventRow{}, err
	}
	row.Key = key.String
	if row.Payload == nil && !tombstone {
		row.Payload = []byte{} // SQLite's drivers return an empty blob as nil
	}
	parsed, err := uuid.Parse(id)
	if err != nil {
		return EventRow{}, fmt.Errorf("event_id %q: %w", id, err)
	}
	row.EventID = parsed
	return row, nil
}
