package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
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

// ListScheduled returns the rows that are due next, of a topic unless it is empty, limit of
// them at the most, and whether there are more.
func ListScheduled(ctx context.Context, db *sql.DB, n Names, topic string, limit int) (entries []ScheduledEntry, more bool, err error) {
	if err := n.Validate(); err != nil {
		return nil, false, err
	}
	rows, err := db.QueryContext(ctx, scheduledView(n, topic)+fmt.Sprintf(" ORDER BY deliver_at, seq LIMIT %d", limit+1), topicArg(topic)...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ScheduledEntry
		var created, deliver string
		var micros int64
		if err := rows.Scan(&e.Seq, &e.EventID, &e.Topic, &e.Key, &e.Type, &e.PayloadSize, &micros, &created, &deliver); err != nil {
			return nil, false, err
		}
		e.DueIn = time.Duration(micros) * time.Microsecond
		var bad [2]error
		e.CreatedAt, bad[0] = time.Parse(time.RFC3339Nano, created)
		e.DeliverAt, bad[1] = time.Parse(time.RFC3339Nano, deliver)
		if err := errors.Join(bad[:]...); err != nil {
			return nil, false, fmt.Errorf("row %d of %s: %w", e.Seq, n.Plain(Scheduled), err)
		}
		entries = append(entries, e)
	}
	if len(entries) > limit {
		return entries[:limit], true, rows.Err()
	}
	return entries, false, rows.Err()
}

func topicArg(topic string) []any {
	if topic == "" {
		return nil
	}
	return []any{topic}
}

func scheduledView(n Names, topic string) string {
	size, until := "octet_length(payload)", ""
	switch n.Dialect {
	case PostgreSQL:
		until = "(extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint"
	case MySQL:
		until = "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at)"
	case SQLite:
		size = "length(CAST(payload AS BLOB))"
		until = "CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER)"
	}
	view := "SELECT seq, event_id, topic, event_key, event_type, COALESCE(" + size + ", -1), " + until + ", " +
		n.TimeText("created_at") + ", " + n.TimeText("deliver_at") + " FROM {outbox_scheduled}"
	if topic != "" {
		view += " WHERE topic = " + n.Param(1)
	}
	return n.Expand(view)
}
