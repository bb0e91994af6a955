package relay

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/db"
)

// What operators ask for: to send parked rows again, or to drop them.

// Drops is what DropRequested found and did.
type Drops struct {
	Requests bool          // there was a request, to send a row again or to drop one
	Dropped  []Dropped     // the rows that were dropped
	Freed    []db.EventKey // keys of which no row is left
}

// Dropped is a row that an operator gave up.
type Dropped struct {
	Seq int64
	Event
	Topic string
	Key   []byte // nil: NULL
}

// DropRequested looks for requests, deletes the first rows in state drop, limit of them at the most, records
// each in outbox_drops, and treats their keys as Unpark does. Tables of version 2 have no
// outbox_drops: what was dropped is then only returned.
//
// Call it while none of these rows is on its way to the sink: one that was to be sent
// again and is to be dropped now could be delivered after all.
func (s Parked) DropRequested(ctx context.Context, l Lease, limit int) (d Drops, err error) {
	// Looks into an index, without the lock, since there is rarely anything to do. (Tables of version 2 lack
	// that index: there the first one scans the parked rows.)
	if err := s.pool.QueryRowContext(ctx, s.sql.HasRequests).Scan(&d.Requests); err != nil || !d.Requests {
		return d, err
	}
	drops := false
	if err := s.pool.QueryRowContext(ctx, s.sql.HasDrops).Scan(&drops); err != nil || !drops {
		return d, err
	}
	// Before the transaction, which PostgreSQL would end at the error.
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
	// Locked, so that none of them goes back to retry meanwhile.
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

// Rejection says that a row was sent again and rejected again.
type Rejection struct {
	ParkedEvent
	Reason    string // cut as Parking.Error is
	Overtaken bool   // later events of its key were delivered meanwhile
}

// Reject puts rows that were sent again and rejected again back to failed, with one
// attempt more and the new error, and the later rows of their keys from retry to blocked.
// Overtaken is kept once set; overtaken rows stay in retry, for they wait for nobody.
// A row that is gone is passed over; one that is to be dropped by now stays so.
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
