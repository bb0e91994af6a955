package relay

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/db"
)

// This file handles what operators ask for: to send parked rows again, or to drop them.

// Drops is what DropRequested found and did.
type Drops struct {
	Requests bool          // there was a request, to send a row again or to drop one
	Dropped  []Dropped     // the rows that were dropped
	Freed    []db.EventKey // keys that have no row any more
}

// Dropped is a row that an operator has dropped.
type Dropped struct {
	Seq int64
	Event
	Topic string
	Key   []byte // nil: NULL
}

// DropRequested looks for requests. It deletes the first rows in state drop, at most limit, records each of
// them in outbox_drops, and treats their keys as Unpark does. Tables of version 2 have no outbox_drops: then
// it only returns the dropped rows.
//
// Call it while the sink has none of these rows. A row that was to be sent again, and is to be dropped now,
// could otherwise still be delivered.
func (s Parked) DropRequested(ctx context.Context, l Lease, limit int) (d Drops, err error) {
	// Look into an index first, without the lock, because there is rarely anything to do. (Tables of version
	// 2 lack that index. There the statement scans the parked rows.)
	if err := s.pool.QueryRowContext(ctx, s.sql.HasRequests).Scan(&d.Requests); err != nil || !d.Requests {
		return d, err
	}
	drops := false
	if err := s.pool.QueryRowContext(ctx, s.sql.HasDrops).Scan(&drops); err != nil || !drops {
		return d, err
	}
	// This is done before the transaction, because on PostgreSQL an error would end the transaction.
	recorded := true
	if _, err := s.pool.ExecContext(ctx, s.sql.CheckDrops); err != nil {
		if !db.IsMissingTable(err) {
			return d, err
		}
		recorded = false
	}
	err = s.fencedAgain(ctx, l, func(tx *sql.Tx) error {
		d.Dropped, d.Freed, err = s.drop(ctx, tx, limit, recorded)
		return err
	})
	if err != nil {
		return Drops{Requests: true}, err
	}
	return d, nil
}

func (s Parked) drop(ctx context.Context, tx *sql.Tx, limit int, recorded bool) ([]Dropped, []db.EventKey, error) {
	// The rows are locked, so that none of them goes back to retry in the meantime.
	dropped, err := db.Rows(ctx, tx, func(d *Dropped) []any {
		return []any{&d.Seq, &d.ID, &d.EventID, &d.Topic, &d.Key}
	}, s.sql.LockDrops, limit)
	if err != nil || len(dropped) == 0 {
		return nil, nil, err
	}
	seqs := make([]int64, len(dropped))
	parked := make([]DeliveredParked, len(dropped))
	for i, d := range dropped {
		seqs[i], parked[i].ParkedEvent = d.Seq, ParkedEvent{Seq: d.Seq, EventID: d.EventID}
	}
	if recorded {
		if _, err := tx.ExecContext(ctx, s.sql.RecordDrops, intsJSON(seqs)); err != nil {
			return nil, nil, fmt.Errorf("record in %s what is dropped: %w", s.names.Plain(db.Drops), err)
		}
	}
	freed, err := s.unpark(ctx, tx, parked)
	return dropped, freed, err
}

// Rejection says that a row was sent again and was rejected again.
type Rejection struct {
	ParkedEvent
	Reason    string // shortened as Parking.Error is
	Overtaken bool   // later events of its key were delivered in the meantime
}

// Reject sets rows that were sent again and rejected again back to failed, with one more attempt and the new
// error. It sets the later rows of their keys from retry to blocked. Overtaken stays set once it is set.
// Overtaken rows stay in retry, because they wait for no other row. Reject skips a row that is gone, and
// leaves a row in state drop as it is.
func (s Parked) Reject(ctx context.Context, l Lease, rows []Rejection) error {
	if len(rows) == 0 {
		return nil
	}
	return s.fencedAgain(ctx, l, func(tx *sql.Tx) error {
		for rest := rows; len(rest) > 0; {
			n := fitting(rest, func(r Rejection) int { return len(r.Reason) })
			list := rejectionsJSON(rest[:n])
			for _, statement := range []string{s.sql.Reject, s.sql.BlockLater} {
				if _, err := tx.ExecContext(ctx, statement, list...); err != nil {
					return err
				}
			}
			rest = rest[n:]
		}
		return nil
	})
}
