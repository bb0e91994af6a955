package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Found is one place where an event is, or is known to have been.
type Found struct {
	Table     string // its default name
	ID        int64  // the row's id in outbox_events, 0 where it had none yet
	Topic     string
	Key       *string // nil: none
	Type      string
	CreatedAt time.Time // when it was written; zero in outbox_drops

	At time.Time // when it was parked, delivered or dropped, or is due; zero in outbox_events

	Partition *int32 // in outbox_archive, if the sink told it
	Offset    *int64

	State     string // in outbox_parked
	Attempts  int
	Overtaken bool
	Error     string // why it is parked, or was

	// In outbox_events: how many rows are before it, and for how many parked events of its
	// key it waits. 200,000 means that many or more.
	Ahead, Behind int64
}

// Trace is where an event was found. If it was not found, it has what is known instead.
type Trace struct {
	Found   []Found
	Missing []string // tables that are not there, by their default names
	// ArchivedSince is the time of the oldest archived event, zero if there is none.
	ArchivedSince time.Time
}

// Trace looks for an event in every table of the outbox. outbox_events has no index on event ids, so it reads the whole
// table.
//
// It searches the tables in the order in which events move through them. An event that moves meanwhile may be found
// twice, but is not missed.
func (s *Store) Trace(ctx context.Context, id uuid.UUID) (t Trace, err error) {
	for _, look := range s.looks() {
		found, err := s.find(ctx, look, id)
		if db.IsMissingTable(err) { // with tables of version 2 some are not there
			t.Missing = append(t.Missing, look.table)
			continue
		}
		if err != nil {
			return t, fmt.Errorf("read %s: %w", s.names.Plain(look.table), err)
		}
		t.Found = append(t.Found, found...)
		if look.table == db.Archive && len(t.Found) == 0 {
			if t.ArchivedSince, err = s.archivedSince(ctx); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// look describes how to search one table for an event.
type look struct {
	table, statement string
	into             func(*Found) []any // where the columns of the statement go
}

func (s *Store) looks() []look {
	at := func(t *time.Time) *db.Moment { return (*db.Moment)(t) }
	return []look{
		{db.Scheduled, s.sql.TraceScheduled, func(f *Found) []any {
			return []any{&f.Topic, &f.Key, &f.Type, at(&f.CreatedAt), at(&f.At)}
		}},
		{db.Events, s.sql.TraceWaiting, func(f *Found) []any {
			return []any{&f.ID, &f.Topic, &f.Key, &f.Type, at(&f.CreatedAt)}
		}},
		{db.Parked, s.sql.TraceParked, func(f *Found) []any {
			return []any{&f.ID, &f.Topic, &f.Key, &f.Type, at(&f.CreatedAt), at(&f.At), &f.State, &f.Attempts,
				&f.Overtaken, &f.Error}
		}},
		{db.Archive, s.sql.TraceArchive, func(f *Found) []any {
			return []any{&f.ID, &f.Topic, &f.Key, &f.Type, at(&f.CreatedAt), at(&f.At), &f.Partition, &f.Offset}
		}},
		{db.Drops, s.sql.TraceDrops, func(f *Found) []any {
			return []any{&f.ID, &f.Topic, &f.Key, at(&f.At), &f.Error}
		}},
	}
}

// find returns the rows of a table that hold the event.
func (s *Store) find(ctx context.Context, look look, id uuid.UUID) (found []Found, err error) {
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		f := Found{Table: look.table}
		err := rows.Scan(look.into(&f)...)
		found = append(found, f)
		return err
	}, look.statement, id.String())
	if err != nil || look.table != db.Events {
		return found, err
	}
	for i := range found {
		if err := s.countBefore(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// countBefore counts the rows for which an event waits, up to db.CountLimit.
func (s *Store) countBefore(ctx context.Context, f *Found) error {
	limit := db.Values{"limit": db.CountLimit}
	err := s.pool.QueryRowContext(ctx, db.Fill(s.sql.CountAhead, limit), f.ID).Scan(&f.Ahead)
	if err != nil || f.Key == nil {
		return err
	}
	key := db.For[any](s.names.Dialect, *f.Key, []byte(*f.Key), *f.Key) // keys are bytes in MySQL
	return s.pool.QueryRowContext(ctx, db.Fill(s.sql.CountBehind, limit), f.Topic, key).Scan(&f.Behind)
}

func (s *Store) archivedSince(ctx context.Context) (since time.Time, err error) {
	err = s.pool.QueryRowContext(ctx, s.sql.ArchivedSince).Scan((*db.Moment)(&since))
	if errors.Is(err, sql.ErrNoRows) || db.IsMissingTable(err) {
		return time.Time{}, nil
	}
	return since, err
}
