package relay

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
)

// Parking sets aside events that the sink rejects, so that they do not stop the others. A rejected event
// moves to outbox_parked. With the policy block-key the later events of its key move there too, in order.
// They stay until an operator has them sent again or dropped.
//
// A key is blocked while outbox_parked has a row of it. Only the owner's reader moves rows there and back, so
// between two reads it knows the blocked keys (hazard lost-parking-answer). Whenever it reads from the start,
// it loads them again, after it has got the lock of the lease row. It needs that lock, because a move whose
// answer was lost may still be committing, and holds the lock.
//
// A rejected event moves only after every earlier event of its key is delivered. Otherwise an earlier event
// could fail, be read again, and be parked behind the rejected one.

// blockedReason is the error of rows that are parked behind another row.
const blockedReason = "waits behind an earlier event of its key"

// parking are records of a read that are not for the sink.
type parking struct {
	rows    []store.Parking
	records []*Record         // the same rows
	first   *Record           // the first rejected record
	err     error             // why it was rejected
	blocks  map[string]uint64 // keys that these rows block, with their hashes

	halt *RejectedError // with the policy halt: the first record that would be rejected

	// afterOthers are records that may be parked only after an earlier record of their key is acknowledged,
	// and the records behind them in their lane.
	afterOthers []*Record
	busy        map[uint64]bool // keys of the records that the sink has or gets; nil: not collected yet
}

// sift uses the blocked keys to separate the records for the sink from those to set aside. With the policy
// halt it stops at the first record that would be rejected.
func (q *quarantine) sift(records []*Record, blocked map[string]bool) (deliver []*Record, a parking) {
	if len(blocked) == 0 && q.validator == nil && q.topics.Everything() {
		return records, a
	}
	deliver = records[:0]
	for _, r := range records {
		if r.lane.Drain {
			a.afterOthers = append(a.afterOthers, r)
			continue
		}
		if r.Key != nil && len(blocked)+len(a.blocks) > 0 {
			key := orderKey(r.Topic, r.Key)
			if _, fresh := a.blocks[key]; fresh || blocked[key] {
				a.add(r, store.Parking{State: db.ParkedBlocked, Error: blockedReason})
				continue
			}
		}
		err := q.validate(r)
		switch {
		case err == nil:
			deliver = append(deliver, r)
			if a.busy != nil {
				a.busy[q.term.blocked.hash(r)] = true
			}
		case q.cfg.OnRejection == Halt:
			a.halt = &RejectedError{Table: q.table, ID: r.ID, EventID: r.EventID, Topic: r.Topic,
				Err:  err,
				hash: q.term.blocked.hash(r)}
			return deliver, a
		case q.mustWait(r, &a, deliver):
			r.lane.Drain = true
			a.afterOthers = append(a.afterOthers, r)
		default:
			q.reject(&a, r, err)
		}
	}
	return deliver, a
}

// mustWait reports whether an earlier record of r's key is with the sink, or about to be sent. If that record
// failed, it would be read again and be parked behind r.
func (q *quarantine) mustWait(r *Record, a *parking, deliver []*Record) bool {
	if r.Key == nil || q.cfg.OnRejection != BlockKey {
		return false
	}
	if a.busy == nil {
		a.busy = q.inFlight.WaitingKeys()
		for _, d := range deliver {
			a.busy[q.term.blocked.hash(d)] = true
		}
	}
	return a.busy[q.term.blocked.hash(r)]
}

// validate returns an error if r itself would be rejected, whatever its batch is.
func (q *quarantine) validate(r *Record) error {
	if !q.topics.Has(r.Topic) {
		return fmt.Errorf("topic %q is not on the allow-list (Config.Topics, --topics): add it there, then retry",
			r.Topic)
	}
	if q.validator != nil {
		return q.validator.Validate(r)
	}
	return nil
}

// reject marks a record for parking that the sink would reject.
func (q *quarantine) reject(a *parking, r *Record, err error) {
	if a.first == nil {
		a.first, a.err = r, err
	}
	blocks := r.Key != nil && q.cfg.OnRejection == BlockKey
	if blocks {
		if a.blocks == nil {
			a.blocks = make(map[string]uint64)
		}
		a.blocks[orderKey(r.Topic, r.Key)] = q.term.blocked.hash(r)
	}
	// With the policy skip later events of the key go on, so they overtake this one.
	a.add(r, store.Parking{State: db.ParkedFailed, Error: err.Error(), Overtaken: r.Key != nil && !blocks})
}

// add sets a record aside.
func (a *parking) add(r *Record, p store.Parking) {
	p.Event, p.Size = r.event(), recordSize(r)
	a.rows, a.records = append(a.rows, p), append(a.records, r)
	r.letGo()
}

// rowsLockedError says that rows could not be parked, because another transaction has locked one of them.
type rowsLockedError struct{ error }

func (e rowsLockedError) Unwrap() error { return e.error }

// park moves rows to outbox_parked, and blocks their keys.
func (q *quarantine) park(ctx context.Context, a parking) error {
	if len(q.inFlight.Failures()) > 0 || !q.term.valid() {
		return errNotDelivered // the failed records may have the same keys
	}
	ctx, cancel := context.WithTimeout(ctx, q.cfg.answerTimeout)
	defer cancel()
	moved, err := q.store.Park(ctx, q.term.lease, a.rows)
	if moved == 0 && db.IsLockTimeout(err) {
		return rowsLockedError{err}
	}
	if err != nil {
		q.term.blocked.forget() // the move may have committed
		q.term.endIfLost(err)
		return fmt.Errorf("park events of %s: %w", q.table, err)
	}
	q.health.Resumed(health.Parking)
	for _, hash := range a.blocks {
		q.term.blocked.Add(hash)
	}
	if a.first != nil {
		q.log.Warn("parked: the sink would reject an event; `relay parked list` shows what waits",
			"table", q.table, "row", a.first.ID, "event", a.first.EventID, "topic", a.first.Topic,
			"error", a.err, "parked", len(a.rows), "keys_blocked", len(a.blocks))
	}
	return nil
}
