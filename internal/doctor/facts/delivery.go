package facts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dialect"
)

// Backlog is what waits in outbox_events.
type Backlog struct {
	Waiting int64
	More    bool                 // there are more than were counted
	Oldest  *dialect.OldestEvent // nil: none
}

// Backlog counts what waits, up to a limit, and finds the oldest event.
func (d *Database) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		oldest, err := dialect.ReadOldest(ctx, tx, d.names)
		if err != nil {
			return err
		}
		b.Oldest = oldest
		count := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT %d) AS counted", dialect.CountLimit+1)
		err = tx.QueryRowContext(ctx, d.names.Expand(count)).Scan(&b.Waiting)
		if b.More = b.Waiting > dialect.CountLimit; b.More {
			b.Waiting = dialect.CountLimit
		}
		return err
	})
	return b, err
}

// Scheduled is what should have been moved out of outbox_scheduled.
type Scheduled struct {
	Due  int64 // rows past their time, up to a limit
	Late time.Duration
}

// Scheduled looks for events whose time has come.
func (d *Database) Scheduled(ctx context.Context) (Scheduled, error) {
	query := d.per(`SELECT count(*), (extract(epoch FROM clock_timestamp() - min(deliver_at)) * 1000000)::bigint FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < clock_timestamp() ORDER BY deliver_at LIMIT 10000) AS due`,
		`SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(deliver_at), UTC_TIMESTAMP(6)) FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < UTC_TIMESTAMP(6) ORDER BY deliver_at LIMIT 10000) AS due`,
		`SELECT count(*), CAST((julianday('now') - julianday(min(deliver_at))) * 86400000000 AS INTEGER) FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at LIMIT 10000)`)
	var s Scheduled
	var late sql.NullInt64
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, query).Scan(&s.Due, &late)
	})
	s.Late = db.Micros(late)
	return s, err
}

// Parked is what outbox_parked holds.
type Parked struct {
	Failed, Blocked, Asked int64 // rows by state; Asked: retry and drop
	More                   bool  // there are more rows than were counted
	Keys                   int64 // that wait

	Age    time.Duration // of the oldest row, since it was parked
	Oldest *ParkedEvent
}

// ParkedEvent is the first event that the broker refused and that still waits.
type ParkedEvent struct {
	ID      int64 // in outbox_events
	EventID string
	Topic   string
	Error   string
}

// parkedLimit is how many parked rows are counted, from the oldest on.
const parkedLimit = 100_000

// Parked looks at the parked events.
func (d *Database) Parked(ctx context.Context) (Parked, error) {
	age := d.per("(extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000)::bigint",
		"TIMESTAMPDIFF(MICROSECOND, MIN(parked_at), UTC_TIMESTAMP(6))",
		"CAST((julianday('now') - julianday(min(parked_at))) * 86400000000 AS INTEGER)")
	counted := fmt.Sprintf("(SELECT topic, event_key, state, parked_at FROM {outbox_parked} ORDER BY seq LIMIT %d) AS counted", parkedLimit+1)
	event := d.per("event_id::text", "event_id", "event_id")
	var p Parked
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var parkedFor sql.NullInt64
		query := `SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), ` + age + ` FROM ` + counted
		if err := tx.QueryRowContext(ctx, d.names.Expand(query)).Scan(&p.Failed, &p.Blocked, &p.Asked, &parkedFor); err != nil {
			return err
		}
		p.Age, p.More = db.Micros(parkedFor), p.Failed+p.Blocked+p.Asked > parkedLimit
		if !parkedFor.Valid {
			return nil
		}
		keys := "SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM " + counted + " WHERE event_key IS NOT NULL) AS waiting"
		if err := tx.QueryRowContext(ctx, d.names.Expand(keys)).Scan(&p.Keys); err != nil {
			return err
		}
		var e ParkedEvent
		first := "SELECT id, " + event + ", topic, error FROM {outbox_parked} WHERE state = 'failed' ORDER BY seq LIMIT 1"
		err := tx.QueryRowContext(ctx, d.names.Expand(first)).Scan(&e.ID, &e.EventID, &e.Topic, &e.Error)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		p.Oldest = &e
		return err
	})
	return p, err
}

// Topic is a topic that events are for.
type Topic struct {
	Name    string
	Waiting int64 // at least so many of its events wait or are parked
	Largest int64 // bytes of the largest of them: key, payload and headers
}

// topicRows is how many rows are looked at, at each end of a table: no index leads to
// the topics, and a payload's length may have to be read.
const topicRows = 2000

// Topics lists the topics of the oldest and of the latest events that wait, of those
// that are parked, and of those delivered last, if there is an archive.
func (d *Database) Topics(ctx context.Context) ([]Topic, error) {
	length := d.per("coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text)",
		"COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers)",
		"coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB))")
	some := func(table, order, size string) string {
		// The length is taken inside: MySQL would copy the payloads into a temporary table.
		return fmt.Sprintf("SELECT topic, count(*), max(size) FROM (SELECT topic, %s AS size FROM {%s} ORDER BY %s LIMIT %d) AS sample GROUP BY topic",
			size, table, order, topicRows)
	}
	var topics []Topic
	index := map[string]int{}
	add := func(counts bool) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var t Topic
			if err := rows.Scan(&t.Name, &t.Waiting, &t.Largest); err != nil {
				return err
			}
			if !counts {
				t.Waiting = 0
			}
			i, known := index[t.Name]
			if !known {
				index[t.Name] = len(topics)
				topics = append(topics, t)
				return nil
			}
			topics[i].Waiting = max(topics[i].Waiting, t.Waiting)
			topics[i].Largest = max(topics[i].Largest, t.Largest)
			return nil
		}
	}
	ask := func(waiting bool, statement string) error {
		return d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return db.Each(ctx, tx, add(waiting), d.names.Expand(statement))
		})
	}
	for _, order := range []string{"id", "id DESC"} {
		if err := ask(true, some(db.Events, order, length)); err != nil {
			return topics, err
		}
	}
	for _, other := range []struct {
		table, order string
		waiting      bool
	}{{db.Parked, "seq", true}, {db.Archive, "seq DESC", false}, {db.Scheduled, "seq", false}} {
		size := "0"
		if other.waiting {
			size = length
		}
		// What is not there, or not ours to read, is told elsewhere.
		if err := ask(other.waiting, some(other.table, other.order, size)); err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
			return topics, err
		}
	}
	return topics, nil
}
