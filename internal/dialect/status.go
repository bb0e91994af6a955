package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/relay"
)

// SourceStatus is what the tables tell about a source, by the database's clock.
type SourceStatus struct {
	Source   string // "" until the first relay set it
	SourceID string
	Owner    string // "": nobody
	Epoch    int64
	// LeaseLeft is how long the owner's lease still lasts; negative: expired since.
	LeaseLeft time.Duration
	LeaseTTL  time.Duration // of the last claim; 0: never claimed
	ExpiresAt time.Time     // zero: no lease
	Mode      string        // "" before the first claim
	Halted    string        // why the source stopped; "": it did not
	Blind     string        // since when its owner has not reached the sink, in RFC 3339; "": it does
	Outage    Outage        // of the owner's sink

	Backlog   int64
	Estimated bool // Backlog is the database's estimate

	Oldest *OldestEvent // nil: none

	Parked ParkedCounts
}

// ParkedCounts are how many rows are parked; together CountLimit stands for that many
// or more.
type ParkedCounts struct {
	Failed  int64 // the sink refused them
	Blocked int64 // wait behind such a row of their key
	Asked   int64 // to be sent again or dropped, as soon as the owner gets to it
}

// All is how many rows are parked.
func (c ParkedCounts) All() int64 { return c.Failed + c.Blocked + c.Asked }

// OldestEvent is the undelivered event with the lowest id.
type OldestEvent struct {
	ID        int64
	EventID   string
	Topic     string
	CreatedAt time.Time
	Age       time.Duration
}

// CountLimit is up to how many rows are counted; counting more would take seconds.
const CountLimit = db.CountLimit

// Status reads the state of a source, in a few statements without locks.
func Status(ctx context.Context, db *sql.DB, n Names) (SourceStatus, error) {
	var s SourceStatus
	if err := n.Validate(); err != nil {
		return s, err
	}
	q := statusQueries(n)
	if err := s.readLease(ctx, db, n.Expand(q.lease)); err != nil {
		return s, fmt.Errorf("read %s: %w", n.Plain(Leases), err)
	}
	if err := s.readOldest(ctx, db, n.Expand(q.oldest)); err != nil {
		return s, fmt.Errorf("read %s: %w", n.Plain(Events), err)
	}
	if err := s.readParked(ctx, db, n); err != nil {
		return s, fmt.Errorf("read %s: %w", n.Plain(Parked), err)
	}
	count := n.Expand(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT %d) AS counted", CountLimit+1))
	if err := db.QueryRowContext(ctx, count).Scan(&s.Backlog); err != nil {
		return s, fmt.Errorf("count %s: %w", n.Plain(Events), err)
	}
	if s.Backlog <= CountLimit {
		return s, nil
	}
	var estimate sql.NullInt64
	table := any(n.Table(Events)) // as SQL writes it
	if n.Dialect == MySQL {
		table = n.Plain(Events)
	}
	if err := db.QueryRowContext(ctx, n.Expand(q.estimate), table).Scan(&estimate); err != nil {
		return s, fmt.Errorf("estimate the rows of %s: %w", n.Plain(Events), err)
	}
	s.Backlog, s.Estimated = max(s.Backlog, estimate.Int64), true
	return s, nil
}

// rowQueryer is a *sql.DB or a *sql.Tx.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *SourceStatus) readLease(ctx context.Context, db *sql.DB, query string) error {
	var (
		source, owner, expires, mode, halted, blind, outage sql.NullString
		left, ttl                                           sql.NullInt64
	)
	err := db.QueryRowContext(ctx, query).Scan(&source, &s.SourceID, &owner, &s.Epoch, &expires, &left, &mode, &halted, &ttl, &blind, &outage)
	if err != nil {
		return err
	}
	s.Source, s.Owner, s.Mode, s.Halted, s.Blind = source.String, owner.String, mode.String, halted.String, blind.String
	s.Outage = relay.ParseOutage(outage)
	s.LeaseLeft, s.LeaseTTL = time.Duration(left.Int64)*time.Microsecond, time.Duration(ttl.Int64)*time.Microsecond
	if expires.Valid {
		s.ExpiresAt, err = time.Parse(time.RFC3339Nano, expires.String)
	}
	return err
}

func (s *SourceStatus) readOldest(ctx context.Context, db rowQueryer, query string) error {
	var (
		o       OldestEvent
		created string
		age     int64
	)
	err := db.QueryRowContext(ctx, query).Scan(&o.ID, &o.EventID, &o.Topic, &created, &age)
	if err == sql.ErrNoRows {
		return nil
	}
	if err != nil {
		return err
	}
	o.Age = time.Duration(age) * time.Microsecond
	if o.CreatedAt, err = time.Parse(time.RFC3339Nano, created); err != nil {
		return fmt.Errorf("row %d: created_at: %w", o.ID, err)
	}
	s.Oldest = &o
	return nil
}

func (s *SourceStatus) readParked(ctx context.Context, db *sql.DB, n Names) (err error) {
	rows, err := db.QueryContext(ctx, n.Expand(fmt.Sprintf(
		"SELECT state, count(*) FROM (SELECT state FROM {outbox_parked} LIMIT %d) AS counted GROUP BY state", CountLimit)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var state string
		var count int64
		if err := rows.Scan(&state, &count); err != nil {
			return err
		}
		switch state {
		case ParkFailed:
			s.Parked.Failed = count
		case ParkBlocked:
			s.Parked.Blocked = count
		default:
			s.Parked.Asked += count
		}
	}
	return rows.Err()
}

// statusSQL has one dialect's queries; durations are microseconds, times RFC 3339.
type statusSQL struct{ lease, oldest, estimate string }

func statusQueries(n Names) statusSQL {
	more := blindSince(n) + ", " + outageOf(n)
	switch n.Dialect {
	case PostgreSQL:
		return statusSQL{
			lease: `SELECT source, source_id::text, owner, epoch,
	to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint, mode, hints->>'halted', (hints->>'ttl_us')::bigint, ` + more + `
FROM {outbox_leases} WHERE id = 1`,
			oldest: `SELECT id, event_id::text, topic, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
FROM {outbox_events} ORDER BY id LIMIT 1`,
			estimate: `SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)`,
		}
	case MySQL:
		return statusSQL{
			lease: `SELECT source, source_id, owner, epoch, DATE_FORMAT(expires_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at), mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')),
	CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), ` + more + `
FROM {outbox_leases} WHERE id = 1`,
			oldest: `SELECT id, event_id, topic, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
FROM {outbox_events} ORDER BY id LIMIT 1`,
			estimate: `SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?`,
		}
	}
	return statusSQL{
		lease: `SELECT source, source_id, owner, epoch, strftime('%Y-%m-%dT%H:%M:%fZ', expires_at),
	CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER), mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), ` + more + `
FROM {outbox_leases} WHERE id = 1`,
		oldest: `SELECT id, event_id, topic, strftime('%Y-%m-%dT%H:%M:%fZ', created_at),
	CAST((julianday('now') - julianday(created_at)) * 86400000000 AS INTEGER)
FROM {outbox_events} ORDER BY id LIMIT 1`,
		// SQLite keeps no estimate. Ids are given out in order and delivered ones are
		// deleted from the front, so the span comes close.
		estimate: `SELECT max(id) - min(id) + 1 FROM {outbox_events} WHERE ? IS NOT NULL`,
	}
}

// Owned reports whether a relay holds the lease now.
func Owned(ctx context.Context, db *sql.DB, n Names) (bool, error) {
	var s SourceStatus
	if err := s.readLease(ctx, db, n.Expand(statusQueries(n).lease)); err != nil {
		return false, fmt.Errorf("read %s: %w", n.Plain(Leases), err)
	}
	return s.Owner != "" && s.LeaseLeft > 0, nil
}
