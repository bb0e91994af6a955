package dialect

import (
	"context"
	"database/sql"
)

// A walk over all parked rows goes from window to window, so that no statement runs for
// longer the more rows there are. Inside, overtakeAtOnce bounds the rows that are written
// under the lease row's lock.
const (
	parkedWindow   = 50_000
	overtakeAtOnce = 5000
)

// windowEnd returns the seq of the last row of the window behind after; 0: there is none.
func (r *Relay) windowEnd(ctx context.Context, after int64) (end int64, err error) {
	q := r.names.Expand("SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM {outbox_parked} WHERE seq > " +
		r.names.Param(1) + " ORDER BY seq LIMIT " + r.names.Param(2) + ") AS part")
	err = r.db.QueryRowContext(ctx, q, after, parkedWindow).Scan(&end)
	return end, err
}

// Overtake marks some of the parked rows behind seq after that have a key, and says where
// to go on; false: there are none. From then on later events of their keys are delivered
// before them. The policy skip asks for it, for what another policy has parked.
//
// It locks the lease row while it writes, and returns ErrLeaseLost if that is another's.
// That is again for each part: a walk is not one transaction, and one that was cut short
// has marked rows that are overtaken as soon as it is done again.
func (r *Relay) Overtake(ctx context.Context, l Lease, after int64) (next int64, more bool, err error) {
	end, err := r.windowEnd(ctx, after)
	if err != nil || end == 0 {
		return after, false, err
	}
	seqs, err := queryInts(ctx, r.db, r.names.Expand(r.unmarked()), after, end, overtakeAtOnce)
	if err != nil || len(seqs) == 0 {
		return end, err == nil, err
	}
	err = r.fenced(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, r.parked.overtake, intsJSON(seqs))
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

// unmarked lists rows of a window that are to be marked.
func (r *Relay) unmarked() string {
	p := r.names.Param
	return "SELECT seq FROM {outbox_parked} WHERE seq > " + p(1) + " AND seq <= " + p(2) +
		" AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT " + p(3)
}
