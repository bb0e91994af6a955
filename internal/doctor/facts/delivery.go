package facts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/source"
)

// Backlog describes the waiting events in outbox_events.
type Backlog struct {
	Waiting int64
	More    bool                // there are more events than were counted
	Oldest  *source.OldestEvent // nil: none
}

// Backlog counts the waiting events, up to a limit, and finds the oldest one.
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

// Scheduled describes the events in outbox_scheduled that should have been moved.
type Scheduled struct {
	Due  int64 // rows whose time has come, up to a limit
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

// Parked describes the rows of outbox_parked.
type Parked struct {
	Failed, Blocked, Asked int64 // rows by state; Asked counts retry and drop
	More                   bool  // there are more rows than were counted
	Keys                   int64 // keys that wait

	Age    time.Duration // time since the oldest row was parked
	Oldest *ParkedEvent
}

// ParkedEvent is the first event that the broker rejected and that still waits.
type ParkedEvent struct {
	ID      int64 // id in outbox_events
	EventID string
	Topic   string
	Error   string
}

// parkedLimit is how many parked rows are counted, the oldest first.
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

// Topic is a topic that has events.
type Topic struct {
	Name    string
	Waiting int64 // at least this many of its events wait or are parked
	Largest int64 // bytes of the largest of them: key, payload and headers
}

// Topics lists the topics of the oldest and the latest waiting events, of the parked events, and of the
// events that were delivered last, if there is an archive.
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
		// Another check reports a table that does not exist, or that this user may not read.
		if err := ask(other.waiting, other.statement); err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
			return topics, err
		}
	}
	return topics, nil
}
