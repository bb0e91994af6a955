package source

import (
	"context"
	"database/sql"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// ScheduledEntry is a row of outbox_scheduled as an operator sees it.
type ScheduledEntry struct {
	Seq       int64
	EventID   string
	Topic     string
	Key       []byte // nil: none
	Type      string
	CreatedAt time.Time
	DeliverAt time.Time
	DueIn     time.Duration // by the database's clock; negative: since

	PayloadSize int64 // -1: no payload
}

// ListScheduled returns at most limit rows that are due next, and whether there are more. An empty topic means all
// topics.
func (s *Store) ListScheduled(ctx context.Context, topic string, limit int) (
	entries []ScheduledEntry, more bool, err error) {
	query, args := s.sql.Scheduled, []any(nil)
	if topic != "" {
		query, args = s.sql.ScheduledOfTopic, []any{topic}
	}
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var e ScheduledEntry
		var due sql.NullInt64
		err := rows.Scan(&e.Seq, &e.EventID, &e.Topic, &e.Key, &e.Type, &e.PayloadSize, &due,
			(*db.Moment)(&e.CreatedAt), (*db.Moment)(&e.DeliverAt))
		e.DueIn = db.Micros(due)
		entries = append(entries, e)
		return err
	}, db.Fill(query, db.Values{"limit": limit + 1}), args...)
	if err != nil {
		return nil, false, err
	}
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}
