package facts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/source"
)

// Backlog is what waits in outbox_events.
type Backlog struct {
	Waiting int64
	More    bool                // there are more than were counted
	Oldest  *source.OldestEvent // nil: none
}

// Backlog counts what waits, up to a limit, and finds the oldest event.
func (d *Database) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		oldest, err := d.source.Oldest(ctx, tx)
		if err != nil {
			return err
		}
		b.Oldest = oldest
		err = tx.QueryRowContext(ctx, d.sql.CountEvents).Scan(&b.Waiting)
		if b.More = b.Waiting > db.CountLimit; b.More {
			b.Waiting = db.CountLimit
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
	var s Scheduled
	var late sql.NullInt64
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, d.sql.Scheduled).Scan(&s.Due, &late)
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
	var p Parked
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var parkedFor sql.NullInt64
		if err := tx.QueryRowContext(ctx, d.sql.ParkedCounts).Scan(
			&p.Failed, &p.Blocked, &p.Asked, &parkedFor,
		); err != nil {
			return err
		}
		p.Age, p.More = db.Micros(parkedFor), p.Failed+p.Blocked+p.Asked > parkedLimit
		if !parkedFor.Valid {
			return nil
		}
		if err := tx.QueryRowContext(ctx, d.sql.ParkedKeys).Scan(&p.Keys); err != nil {
			return err
		}
		var e ParkedEvent
		err := tx.QueryRowContext(ctx, d.sql.ParkedFirst).Scan(&e.ID, &e.EventID, &e.Topic, &e.Error)
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

// Topics lists the topics of the oldest and of the latest events that wait, of those
// that are parked, and of those delivered last, if there is an archive.
func (d *Database) Topics(ctx context.Context) ([]Topic, error) {
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
			return db.Each(ctx, tx, add(waiting), statement)
		})
	}
	for _, waiting := range []string{d.sql.TopicsOldest, d.sql.TopicsLatest} {
		if err := ask(true, waiting); err != nil {
			return topics, err
		}
	}
	for _, other := range []struct {
		statement string
		waiting   bool
	}{{d.sql.TopicsParked, true}, {d.sql.TopicsArchived, false}, {d.sql.TopicsScheduled, false}} {
		// What is not there, or not ours to read, is told elsewhere.
		if err := ask(other.waiting, other.statement); err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
			return topics, err
		}
	}
	return topics, nil
}
