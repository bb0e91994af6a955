package source

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// State is the state of a source in the tables, by the database's clock.
type State struct {
	Source   string // "" until the first relay set it
	SourceID string
	Owner    string // "": nobody
	Epoch    int64
	// LeaseLeft is how long the owner's lease still lasts. Negative: the time since it expired.
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

// ParkedCounts are how many rows are parked; together db.CountLimit stands for that many
// or more.
type ParkedCounts struct {
	Failed  int64 // the sink rejected them
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

// State reads the state of a source, in a few statements without locks.
func (s *Store) State(ctx context.Context) (State, error) {
	state, err := s.lease(ctx, s.pool)
	if err != nil {
		return state, err
	}
	if state.Oldest, err = s.Oldest(ctx, s.pool); err != nil {
		return state, fmt.Errorf("read %s: %w", s.names.Plain(db.Events), err)
	}
	if err := s.countParked(ctx, &state.Parked); err != nil {
		return state, fmt.Errorf("read %s: %w", s.names.Plain(db.Parked), err)
	}
	count := db.Fill(s.sql.CountEvents, db.Values{"limit": db.CountLimit + 1})
	if err := s.pool.QueryRowContext(ctx, count).Scan(&state.Backlog); err != nil {
		return state, fmt.Errorf("count %s: %w", s.names.Plain(db.Events), err)
	}
	if state.Backlog <= db.CountLimit {
		return state, nil
	}
	var estimate sql.NullInt64
	quoted, plain := s.names.Table(db.Events), s.names.Plain(db.Events)
	table := db.For(s.names.Dialect, quoted, plain, quoted)
	if err := s.pool.QueryRowContext(ctx, s.sql.EstimateEvents, table).Scan(&estimate); err != nil {
		return state, fmt.Errorf("estimate the rows of %s: %w", plain, err)
	}
	state.Backlog, state.Estimated = max(state.Backlog, estimate.Int64), true
	return state, nil
}

// Owned reports whether a relay holds the lease now.
func (s *Store) Owned(ctx context.Context) (bool, error) {
	state, err := s.lease(ctx, s.pool)
	return err == nil && state.Owner != "" && state.LeaseLeft > 0, err
}

// lease reads the lease row.
func (s *Store) lease(ctx context.Context, q RowQuerier) (state State, err error) {
	var (
		source, owner, mode, halted, blind, outage sql.NullString
		left, ttl                                  sql.NullInt64
	)
	err = q.QueryRowContext(ctx, s.sql.Lease).Scan(&source, &state.SourceID, &owner, &state.Epoch,
		(*db.Moment)(&state.ExpiresAt), &left, &mode, &halted, &ttl, &blind, &outage)
	if err != nil {
		return state, fmt.Errorf("read %s: %w", s.names.Plain(db.Leases), err)
	}
	state.Source, state.Owner, state.Mode = source.String, owner.String, mode.String
	state.Halted, state.Blind = halted.String, blind.String
	state.Outage, state.LeaseLeft, state.LeaseTTL = ParseOutage(outage), db.Micros(left), db.Micros(ttl)
	return state, nil
}

// RowQuerier is a *sql.DB or a *sql.Tx.
type RowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Oldest returns the undelivered event with the lowest id; nil: there is none.
func (s *Store) Oldest(ctx context.Context, q RowQuerier) (*OldestEvent, error) {
	var o OldestEvent
	var age sql.NullInt64
	err := q.QueryRowContext(ctx, s.sql.Oldest).Scan(&o.ID, &o.EventID, &o.Topic, (*db.Moment)(&o.CreatedAt), &age)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.Age = db.Micros(age)
	return &o, nil
}

func (s *Store) countParked(ctx context.Context, c *ParkedCounts) error {
	return db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var state string
		var count int64
		err := rows.Scan(&state, &count)
		switch state {
		case db.ParkedFailed:
			c.Failed = count
		case db.ParkedBlocked:
			c.Blocked = count
		default:
			c.Asked += count
		}
		return err
	}, db.Fill(s.sql.CountParked, db.Values{"limit": db.CountLimit}))
}

// Outage is why an owner's sink accepts no events, as the owner wrote it into the hints of the lease.
type Outage struct {
	Since  time.Time // by the owner's clock
	Reason string    // "": there is no outage
}

// ParseOutage reads the outage in the hints of a lease. It ignores a value that it cannot read, because it is only a
// hint.
func ParseOutage(kept sql.NullString) Outage {
	var hint struct{ Since, Reason string }
	if json.Unmarshal([]byte(kept.String), &hint) != nil || hint.Reason == "" {
		return Outage{}
	}
	since, err := time.Parse(time.RFC3339, hint.Since)
	if err != nil {
		return Outage{}
	}
	return Outage{Since: since, Reason: hint.Reason}
}
