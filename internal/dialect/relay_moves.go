package dialect

import (
	"context"
	"errors"
	"iter"
)

// Bounds of a transaction that holds the lease row locked and moves rows, or deletes
// large ones. A renewal waits for such a transaction, and an owner that cannot renew
// loses its lease: what is to be moved must not decide how long that takes. A row that is
// larger goes alone.
const (
	maxMove      = 5000
	maxMoveBytes = 4 << 20
)

// moves cuts rows into parts, each of them for one transaction.
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

// Waiting returns those of events that are in outbox_events, with their sizes.
func (r *Relay) Waiting(ctx context.Context, events []Event) ([]Delivered, error) {
	named := make(map[Event]bool, len(events))
	ids := make([]int64, len(events))
	for i, e := range events {
		named[e], ids[i] = true, e.ID
	}
	var found []Delivered
	err := r.eachSize(ctx, "id", "{outbox_events}", ids,
		func(e Event, size int64) {
			if named[e] {
				found = append(found, Delivered{Event: e, Size: size})
			}
		})
	return found, err
}

// measure sets the sizes of parked rows.
func (r *Relay) measure(ctx context.Context, rows []DeliveredParked) error {
	at := make(map[int64]int, len(rows))
	seqs := make([]int64, len(rows))
	for i, p := range rows {
		at[p.Seq], seqs[i] = i, p.Seq
	}
	return r.eachSize(ctx, "seq", "{outbox_parked}", seqs,
		func(e Event, size int64) { rows[at[e.ID]].Size = size })
}

// eachSize visits the rows of a table that are named, with the sizes of their payloads. On
// PostgreSQL and SQLite that of a large one is known without reading it.
func (r *Relay) eachSize(ctx context.Context, column, table string, named []int64, visit func(Event, int64)) (err error) {
	if len(named) == 0 {
		return nil
	}
	rows, err := r.db.QueryContext(ctx, r.names.Expand("SELECT "+column+", event_id, COALESCE(LENGTH(payload), 0) FROM "+table+
		" WHERE "+column+" IN ("+intsList(named)+")"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Event
		var size int64
		if err := rows.Scan(&e.ID, &e.EventID, &size); err != nil {
			return err
		}
		visit(e, size)
	}
	return rows.Err()
}
