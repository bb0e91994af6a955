package relay

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/internal/db"
)

// A walk over all parked rows goes from window to window, so that the time of a statement does not grow with
// the number of rows. overtakeAtOnce bounds the rows that are written while the lease row is locked.
const (
	parkedWindow   = 50_000
	overtakeAtOnce = 5000
)

// windowEnd returns the seq of the last row of the window behind after. 0: there is no row.
func (s Parked) windowEnd(ctx context.Context, after int64) (end int64, err error) {
	err = s.pool.QueryRowContext(ctx, s.sql.ParkedWindow, after, parkedWindow).Scan(&end)
	return end, err
}

// MarkOvertaken marks the next parked rows with a seq above after that have a key, because later events of
// their keys may be delivered before them from now on. It returns where to go on, and false if there are no
// more rows. The policy skip uses it for the rows that another policy has parked.
//
// Each call is a transaction that locks the lease row, or returns ErrLeaseLost. The whole walk is not one
// transaction. If it is interrupted, some rows are marked already, and the next walk marks them again.
func (s Parked) MarkOvertaken(ctx context.Context, l Lease, after int64) (next int64, more bool, err error) {
	end, err := s.windowEnd(ctx, after)
	if err != nil || end == 0 {
		return after, false, err
	}
	seqs, err := numbers(ctx, s.pool, s.sql.NotOvertaken, after, end, overtakeAtOnce)
	if err != nil || len(seqs) == 0 {
		return end, err == nil, err
	}
	err = s.fencedAgain(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, s.sql.MarkOvertaken, intsJSON(seqs))
		return err
	})
	if err != nil {
		return after, false, err
	}
	if len(seqs) == overtakeAtOnce {
		end = seqs[len(seqs)-1]
	}
	return end, true, nil
}

// SentEvents are events that the manifests of committed transactions name, with their row ids in
// outbox_events.
type SentEvents struct {
	all    map[Event]bool
	lo, hi int64
}

// Add adds an event.
func (s *SentEvents) Add(e Event) {
	if len(s.all) == 0 {
		s.all, s.lo, s.hi = make(map[Event]bool), e.ID, e.ID
	}
	s.all[e], s.lo, s.hi = true, min(s.lo, e.ID), max(s.hi, e.ID)
}

// Has reports whether e is one of them.
func (s *SentEvents) Has(e Event) bool { return s.all[e] }

// Len is the number of events.
func (s *SentEvents) Len() int { return len(s.all) }

// FindSentParked looks in the next window of parked rows, those with a seq above after, for the events of
// sent. A start in exactly-once mode has found that these were delivered (hazard replayed-event). It returns
// where to go on, and false if there are no more rows. The row ids have no index, so one walk should look for
// many events.
func (s Parked) FindSentParked(ctx context.Context, sent *SentEvents, after int64) (
	found []DeliveredParked, next int64, more bool, err error) {
	end, err := s.windowEnd(ctx, after)
	if err != nil || end == 0 || sent.Len() == 0 {
		return nil, after, false, err
	}
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var seq int64
		var e Event
		if err := rows.Scan(&seq, &e.ID, &e.EventID); err != nil {
			return err
		}
		if sent.Has(e) {
			found = append(found, DeliveredParked{ParkedEvent: ParkedEvent{Seq: seq, EventID: e.EventID}})
		}
		return nil
	}, s.sql.SentParked, after, end, sent.lo, sent.hi)
	if err == nil {
		err = s.measure(ctx, found)
	}
	if err != nil {
		return nil, after, false, err
	}
	return found, end, true, nil
}
