package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// DropAsked deletes the first rows in state drop, limit of them at the most, records
// each in outbox_drops, and treats their keys as Unpark does. It returns what was
// dropped, and the keys of which no row is left. Tables of version 2 have no
// outbox_drops: what was dropped is then only returned.
//
// Call it while none of these rows is on its way to the sink: one that was to be sent
// again and is to be dropped now could be delivered after all.
func (r *Relay) DropAsked(ctx context.Context, l Lease, limit int) (dropped []Dropped, freed []EventKey, err error) {
	// A look without the lock, since there is rarely anything to do.
	asked := false
	look := r.names.Expand("SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop') AND state = 'drop')")
	if err := r.db.QueryRowContext(ctx, look).Scan(&asked); err != nil || !asked {
		return nil, nil, err
	}
	// Before the transaction, which PostgreSQL would end at the error.
	recorded := true
	if _, err := r.db.ExecContext(ctx, r.names.Expand("SELECT seq FROM {outbox_drops} WHERE seq = 0")); err != nil {
		if !IsMissingTable(err) {
			return nil, nil, err
		}
		recorded = false
	}
	err = r.fenced(ctx, l, func(tx *sql.Tx) error {
		dropped, freed, err = r.drop(ctx, tx, limit, recorded)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return dropped, freed, nil
}

func (r *Relay) drop(ctx context.Context, tx *sql.Tx, limit int, recorded bool) ([]Dropped, []EventKey, error) {
	dropped, err := r.droppable(ctx, tx, limit)
	if err != nil || len(dropped) == 0 {
		return nil, nil, err
	}
	seqs := make([]int64, len(dropped))
	parked := make([]DeliveredParked, len(dropped))
	for i, d := range dropped {
		seqs[i], parked[i].ParkedEvent = d.Seq, ParkedEvent{Seq: d.Seq, EventID: d.EventID}
	}
	if recorded {
		if _, err := tx.ExecContext(ctx, r.parked.record, intsJSON(seqs)); err != nil {
			return nil, nil, fmt.Errorf("record in %s what is dropped: %w", r.names.Plain(Drops), err)
		}
	}
	_, freed, err := r.unpark(ctx, tx, parked)
	return dropped, freed, err
}

// droppable locks the rows, so that none of them goes back to retry meanwhile.
func (r *Relay) droppable(ctx context.Context, tx *sql.Tx, limit int) (all []Dropped, err error) {
	rows, err := tx.QueryContext(ctx, r.parked.dropped, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d Dropped
		if err := rows.Scan(&d.Seq, &d.ID, &d.EventID, &d.Topic, &d.Key); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}
