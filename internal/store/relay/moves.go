package relay

import (
	"context"
	"database/sql"
	"iter"

	"github.com/postroom/postroom/internal/db"
)

// These bound a transaction that holds the lease row locked and moves rows, or deletes large ones. A renewal
// waits for such a transaction, and an owner that cannot renew loses its lease. So the time of a transaction
// must not depend on how much there is to move. A row above the bound is moved alone.
const (
	maxMove      = 5000
	maxMoveBytes = 4 << 20
)

// moves cuts rows into parts. Each part is for one transaction.
func moves[T any](rows []T, size func(T) int64) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(rows) > 0 {
			n, bytes := 1, size(rows[0])
			for n < min(len(rows), maxMove) && bytes+size(rows[n]) <= maxMoveBytes {
				bytes += size(rows[n])
				n++
			}
			if !yield(rows[:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

// FindEvents returns those of the events that are in outbox_events, with their sizes.
func (s Events) FindEvents(ctx context.Context, events []Event) ([]Delivered, error) {
	named := make(map[Event]bool, len(events))
	ids := make([]int64, len(events))
	for i, e := range events {
		named[e], ids[i] = true, e.ID
	}
	var found []Delivered
	err := s.eachSize(ctx, s.sql.EventSizes, ids, func(e Event, size int64) {
		if named[e] {
			found = append(found, Delivered{Event: e, Size: size})
		}
	})
	return found, err
}

// measure sets the sizes of parked rows.
func (s Parked) measure(ctx context.Context, rows []DeliveredParked) error {
	at := make(map[int64]int, len(rows))
	seqs := make([]int64, len(rows))
	for i, p := range rows {
		at[p.Seq], seqs[i] = i, p.Seq
	}
	return s.eachSize(ctx, s.sql.ParkedSizes, seqs, func(e Event, size int64) { rows[at[e.ID]].Size = size })
}

// eachSize visits the named rows with the sizes of their payloads. PostgreSQL and SQLite know the size of a
// large payload without reading it.
func (c *conn) eachSize(ctx context.Context, statement string, named []int64, visit func(Event, int64)) error {
	if len(named) == 0 {
		return nil
	}
	return db.Each(ctx, c.pool, func(rows *sql.Rows) error {
		var e Event
		var size int64
		if err := rows.Scan(&e.ID, &e.EventID, &size); err != nil {
			return err
		}
		visit(e, size)
		return nil
	}, db.Fill(statement, db.Values{"ids": named}))
}
