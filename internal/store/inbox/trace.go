package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Consumed is what a consumer's tables have of a message.
type Consumed struct {
	Table    string // its default name: inbox_events, inbox_attempts or inbox_parked
	Consumer string
	At       time.Time // when it was applied or parked, first tried, or parked
	Position *Position // where it came from, if the transport has positions
	Attempts int
	Error    string
	State    string // in inbox_parked
}

// TraceMessage looks for a message in the tables of all consumers.
func (s *Store) TraceMessage(ctx context.Context, q db.Queryer, id string) (all []Consumed, err error) {
	table, err := db.InboxEvents, s.eachConsumer(ctx, q, func(consumer string) error {
		return s.trace(ctx, q, &all, db.InboxEvents, s.sql.TraceEvents, s.keys(consumer, id)...)
	})
	if err == nil {
		table, err = db.InboxAttempts, s.trace(ctx, q, &all, db.InboxAttempts, s.sql.TraceAttempts, s.keys(id)...)
	}
	if err == nil {
		table, err = db.InboxParked, s.trace(ctx, q, &all, db.InboxParked, s.sql.TraceParked, s.keys(id)...)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.names.Plain(table), err)
	}
	return all, nil
}

// eachConsumer calls do for every consumer that has rows in inbox_events. It looks for one at a time, from name to name
// in the index, which a list of all rows' consumers could not.
func (s *Store) eachConsumer(ctx context.Context, q db.Queryer, do func(consumer string) error) error {
	for last := ""; ; {
		var next sql.NullString
		if err := one(ctx, q, []any{&next}, s.sql.NextConsumer, s.names.KeyArg(last)); err != nil {
			return err
		}
		if !next.Valid {
			return nil
		}
		last = next.String
		if err := do(last); err != nil {
			return err
		}
	}
}

// trace adds the rows of a table that have the message.
func (s *Store) trace(ctx context.Context, q db.Queryer, all *[]Consumed, table, query string, args ...any) error {
	return db.Each(ctx, q, func(rows *sql.Rows) error {
		c := Consumed{Table: table}
		var at nullPosition
		err := rows.Scan(&c.Consumer, (*db.Moment)(&c.At), &at.topic, &at.partition, &at.offset, &c.Attempts, &c.Error,
			&c.State)
		c.Position = at.value()
		*all = append(*all, c)
		return err
	}, query, args...)
}
