package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Reader lists the rows of outbox_events and outbox_scheduled; it is for tests of
// users' code, not for the relay. Safe for concurrent use.
type Reader struct{ sql statements }

// NewReader returns a reader for n. It fails on names that are not valid.
func NewReader(n db.Names) (*Reader, error) {
	all, _, err := load(n)
	return &Reader{sql: all}, err
}

// Rows returns all rows of outbox_events in the order of their ids.
func (r *Reader) Rows(ctx context.Context, q db.Querier) ([]EventRow, error) {
	return readEvents(ctx, q, r.sql.ReadEvents)
}

// Scheduled returns all rows of outbox_scheduled in the order in which they are moved.
func (r *Reader) Scheduled(ctx context.Context, q db.Querier) ([]EventRow, error) {
	return readEvents(ctx, q, r.sql.ReadScheduled)
}

func readEvents(ctx context.Context, q db.Querier, query string) (all []EventRow, err error) {
	err = db.Each(ctx, q, func(rows *sql.Rows) error {
		row, err := scanEvent(rows)
		all = append(all, row)
		return err
	}, query)
	if err != nil {
		return nil, err
	}
	return all, nil
}

func scanEvent(rows *sql.Rows) (EventRow, error) {
	var (
		row       EventRow
		id        string
		key       sql.NullString
		tombstone bool
	)
	if err := rows.Scan(
		&id, &row.Topic, &key, &row.Type, &row.Payload, &tombstone, &row.Headers, (*db.Moment)(&row.DeliverAt),
	); err != nil {
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
