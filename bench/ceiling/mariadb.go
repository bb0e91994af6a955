package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/dbopen"
)

// mariaDB goes through database/sql and go-sql-driver, which have no faster way in.
type mariaDB struct{ db *sql.DB }

const (
	mariaDBRead = `SELECT id, event_id, topic, event_key, event_type, payload, headers,
TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', created_at)
FROM outbox_events WHERE id > ? ORDER BY id LIMIT ?`
	mariaDBRemove = `DELETE FROM outbox_events WHERE id BETWEEN ? AND ?`
)

func openMariaDB(ctx context.Context, url string) (table, error) {
	target, err := dbopen.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return &mariaDB{db: target.DB}, nil
}

func (m *mariaDB) read(ctx context.Context, after int64, limit int, b *batch) (err error) {
	rows, err := m.db.QueryContext(ctx, mariaDBRead, after, limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var (
		r                                          row
		eventID, topic, key, typ, payload, headers sql.RawBytes
	)
	into := []any{&r.id, &eventID, &topic, &key, &typ, &payload, &headers, &r.created}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if string(headers) != "{}" {
			return errors.New("a row has headers of its own, which this program does not send")
		}
		if r.eventID, err = uuid.ParseBytes(eventID); err != nil {
			return fmt.Errorf("row %d: %w", r.id, err)
		}
		r.topic, r.key, r.typ, r.payload = topic, key, typ, payload
		b.add(r)
	}
	return rows.Err()
}

func (m *mariaDB) remove(ctx context.Context, lo, hi int64) error {
	_, err := m.db.ExecContext(ctx, mariaDBRemove, lo, hi)
	return err
}

func (m *mariaDB) close() { _ = m.db.Close() }
