package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// Parking sets aside events that the sink refuses, so that they do not stop the others:
// the event moves to outbox_parked and, by the policy block-key, so do the later events
// of its key, in order, until an operator has it sent again or dropped.
//
// A key is blocked while outbox_parked has a row of it. Only the owner's reader moves
// rows there and back, so between two reads the blocked keys are what it knows
// (hazard lost-parking-answer). It makes sure of them whenever it reads from the start, behind
// the lease row's lock: a move whose answer was lost may still be committing, and holds that
// lock.
//
// A refused event moves only after every earlier event of its key is delivered: if one
// of them failed, it would be read again and be parked behind it.

// blockedReason is the error of rows that are parked behind another.
const blockedReason = "waits behind an earlier event of its key"

// parking are records of a read that are not for the sink.
type parking struct {
	rows    []dialect.Parking
	records []*Record         // the same
	first   *Record           // the first that was refused, and
	err     error             // why
	blocks  map[string]uint64 // keys that become blocked by it, with their hashes

	// later are those that may be parked only when an earlier record of their key is
	// acknowledged, and what comes behind them in their lane.
	later []*Record
	busy  map[uint64]bool // keys with such a record; nil: nobody has asked
}

// sift tells apart what goes to the sink and what is set aside, by the keys that are
// blocked. By the policy halt it stops at the first record that would be refused.
func (s *session) sift(records []*Record, blocked map[string]bool) (deliver []*Record, a parking) {
	if len(blocked) == 0 && s.validator == nil && len(s.relay.cfg.Topics) == 0 {
		return records, a
	}
	deliver = records[:0]
	for _, r := range records {
		if r.lane.drain {
			a.later = append(a.later, r)
			continue
		}
		if r.Key != nil && len(blocked)+len(a.blocks) > 0 {
			key := orderKey(r.Topic, r.Key)
			if _, fresh := a.blocks[key]; fresh || blocked[key] {
				a.add(r, dialect.Parking{State: dialect.ParkBlocked, Error: blockedReason})
				continue
			}
		}
		err := s.validate(r)
		switch {
		case err == nil:
			deliver = append(deliver, r)
			if a.busy != nil {
				a.busy[s.flights.hash(r)] = true
			}
		case s.relay.cfg.OnRejection == Halt:
			s.refused = s.rejection(r, err)
			return deliver, a
		case s.mustWait(r, &a, deliver):
			r.lane.drain = true
			a.later = append(a.later, r)
		default:
			a.refuse(r, err, s)
		}
	}
	return deliver, a
}

// mustWait reports whether an earlier record of r's key is with the sink, or about to be.
// If that one failed, it would be read again and be parked behind r.
func (s *session) mustWait(r *Record, a *parking, deliver []*Record) bool {
	if r.Key == nil || s.relay.cfg.OnRejection != BlockKey {
		return false
	}
	if a.busy == nil {
		a.busy = s.flights.waitingKeys()
		for _, d := range deliver {
			a.busy[s.flights.hash(d)] = true
		}
	}
	return a.busy[s.flights.hash(r)]
}

// validate asks whether r would be refused for what it is.
func (s *session) validate(r *Record) error {
	if !s.relay.topics.allows(r.Topic) {
		return fmt.Errorf("topic %q is not on the allow-list (Config.Topics, --topics): add it there, then retry", r.Topic)
	}
	if s.validator != nil {
		return s.validator.Validate(r)
	}
	return nil
}

func (a *parking) refuse(r *Record, err error, s *session) {
	if a.first == nil {
		a.first, a.err = r, err
	}
	blocks := r.Key != nil && s.relay.cfg.OnRejection == BlockKey
	if blocks {
		if a.blocks == nil {
			a.blocks = make(map[string]uint64)
		}
		a.blocks[orderKey(r.Topic, r.Key)] = s.flights.hash(r)
	}
	// By the policy skip later events of the key go on: this one is overtaken by them.
	a.add(r, dialect.Parking{State: dialect.ParkFailed, Error: err.Error(), Overtaken: r.Key != nil && !blocks})
}

// add sets a record aside.
func (a *parking) add(r *Record, p dialect.Parking) {
	p.Event, p.Size = r.event(), recordSize(r)
	a.rows, a.records = append(a.rows, p), append(a.records, r)
	r.letGo()
}

// park moves rows aside, and blocks their keys.
func (s *session) park(ctx context.Context, a parking) error {
	if len(s.flights.failures()) > 0 || !s.keeper.valid() {
		return errNotDelivered // what failed may be of the keys
	}
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	moved, err := s.relay.store.Park(ctx, s.lease, a.rows)
	if moved == 0 && dialect.IsLockTimeout(err) {
		s.parkLater(ctx, a.records, err)
		return nil
	}
	if err != nil {
		s.keeper.blocked.forget() // it may have been done
		return s.keeper.endIfLost(fmt.Errorf("park events of %s: %w", s.relay.store.Table(), err))
	}
	s.relay.health.resumed(partParking)
	for _, hash := range a.blocks {
		s.keeper.blocked.add(hash)
	}
	if a.first != nil {
		s.relay.log.Warn("parked: the sink would refuse an event; `relay parked list` shows what waits",
			"table", s.relay.store.Table(), "row", a.first.ID, "event", a.first.EventID, "topic", a.first.Topic,
			"error", a.err, "parked", len(a.rows), "keys_blocked", len(a.blocks))
	}
	return nil
}

// lockedRest is how long the rows of a lane wait on the shelf after one of them could not be
// parked, because somebody has locked it.
const lockedRest = time.Second

// parkLater puts rows on the shelf that are to be parked and cannot be now: nothing of their
// lanes passes them there, and the other lanes go on.
func (s *session) parkLater(ctx context.Context, records []*Record, err error) {
	for _, r := range records {
		r.lane.rest = time.Now().Add(lockedRest)
	}
	s.shelve(records)
	s.relay.health.paused(partParking, fmt.Errorf("rows of %s that are to be parked are locked by another transaction, "+
		"which may be %s: end that session: %w", s.relay.store.Table(), s.lockers(ctx), err))
}

// parkRefused moves a row aside that was refused alone. The session that sent it has
// ended, and nothing is on its way.
func (r *Relay) parkRefused(k *keeper, rejected *RejectedError) error {
	ctx, cancel := context.WithTimeout(k.ctx, r.cfg.answerTimeout)
	defer cancel()
	skipped := r.cfg.OnRejection == Skip && rejected.hash != 0
	event := dialect.Event{ID: rejected.ID, EventID: rejected.EventID}
	var err error
	if rejected.seq > 0 {
		err = r.store.Refuse(ctx, k.lease, []dialect.Refusal{{
			ParkedEvent: dialect.ParkedEvent{Seq: rejected.seq, EventID: rejected.EventID},
			Reason:      rejected.Err.Error(), Overtaken: rejected.Overtaken || skipped,
		}})
	} else {
		_, err = r.store.Park(ctx, k.lease, []dialect.Parking{{
			Event: event, State: dialect.ParkFailed, Error: rejected.Err.Error(), Overtaken: rejected.Overtaken || skipped,
		}})
	}
	if err != nil {
		k.blocked.forget() // it may have been done
		return fmt.Errorf("park row %d of %s: %w", rejected.ID, rejected.Table, err)
	}
	delete(r.overtaken, rejected.EventID)
	if rejected.seq == 0 && rejected.hash != 0 && !skipped {
		k.blocked.add(rejected.hash)
	}
	r.log.Warn("parked: the sink refuses an event; `relay parked list` shows what waits",
		"table", rejected.Table, "row", rejected.ID, "event", rejected.EventID, "topic", rejected.Topic,
		"error", rejected.Err, "overtaken", rejected.Overtaken)
	return nil
}
