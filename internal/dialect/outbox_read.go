package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Reader lists the rows of outbox_events and outbox_scheduled; it is for tests of
// users' code, not for the relay. Safe for concurrent use.
type Reader struct{ events, scheduled string }

// NewReader returns a reader for n, which must be valid.
func NewReader(n Names) (*Reader, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	const columns = "SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, "
	return &Reader{
		events:    n.Expand(columns + "NULL FROM {outbox_events} ORDER BY id"),
		scheduled: n.Expand(columns + n.TimeText("deliver_at") + " FROM {outbox_scheduled} ORDER BY deliver_at, seq"),
	}, nil
}

// ReadQueryer runs a query.
type ReadQueryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Rows returns all rows of outbox_events in the order of their ids.
func (r *Reader) Rows(ctx context.Context, db ReadQueryer) ([]EventRow, error) {
	return readEvents(ctx, db, r.events)
}

// Scheduled returns all rows of outbox_scheduled in the order in which they are moved.
func (r *Reader) Scheduled(ctx context.Context, db ReadQueryer) ([]EventRow, error) {
	return readEvents(ctx, db, r.scheduled)
}

func readEvents(ctx context.Context, db ReadQueryer, query string) (all []EventRow, err error) {
	rows, err := db.QueryContext(ctx, query)
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
		key, at   sql.NullString
		tombstone bool
	)
	if err := rows.Scan(&id, &row.Topic, &key, &row.Type, &row.Payload, &tombstone, &row.Headers, &at); err != nil {
		return EventRow{}, err
	}
	if at.Valid {
		deliverAt, err := time.Parse(time.RFC3339Nano, at.String)
		if err != nil {
			return EventRow{}, fmt.Errorf("deliver_at: %w", err)
		}
		row.DeliverAt = deliverAt
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
