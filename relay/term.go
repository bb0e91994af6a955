package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// runTermOrHandOver works through one term, which another process may be given.
func (r *Relay) runTermOrHandOver(ctx context.Context, k *keeper) (done bool, err error) {
	turn, handOver := context.WithCancelCause(ctx)
	balancing := make(chan struct{})
	r.assignment.Began(time.Now())
	r.reach.clearRecorded()
	go func() {
		defer close(balancing)
		r.balance(turn, k, handOver)
	}()
	done, err = r.runTerm(turn, k)
	handOver(nil) // ends balance too
	<-balancing
	r.assignment.Ended(time.Now())
	if !errors.Is(context.Cause(turn), errHandedOver) || ctx.Err() != nil {
		return done, err
	}
	if errors.Is(err, ErrNotDrained) {
		r.log.Warn("not handed over: the next owner waits until the lease has run out", "error", err)
		err = nil
	}
	return err != nil, err
}

// runTerm is the time between one claim of the lease and the next: one session of the sink after
// another, a new one after each outage. It reports whether Run is done.
//
// Each session starts with nothing in flight, and asks for every id that may have a row
// (hazard stored-cursor, hazard read-before-fencing, see checkpoint). What an earlier session or
// owner has read is a hint that may be wrong by now; the rows are the truth.
func (r *Relay) runTerm(ctx context.Context, k *keeper) (done bool, err error) {
	var keeping sync.WaitGroup
	keeping.Go(k.run)
	keeping.Go(func() { r.purgeLoop(k) })
	keeping.Go(func() { newMover(r, k).run(ctx) })
	defer keeping.Wait()
	defer k.cancel(nil)
	r.log.Info("lease claimed", "epoch", k.lease.Epoch, "owner", k.lease.Owner)

	retry := pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	var fenced fencings
	for {
		out := outcome{}
		if err := r.leftover.delete(ctx, r.part(k)); err != nil {
			k.endIfLost(err)
			r.health.Paused(health.Deletes, err)
		} else {
			s := newSession(r, k)
			s.inFlight.Adopt(r.leftover.events)
			r.leftover.events = nil
			out = s.run(ctx)
			r.leftover.events = append(r.leftover.events, out.leftover...)
		}
		switch {
		case k.term.Err() != nil:
			return r.lost(ctx, k, out)
		case len(out.rejected) > 0 && r.cfg.OnRejection == Halt:
			return true, r.halt(k, out)
		case ctx.Err() != nil:
			return true, r.finish(k, out)
		}
		if err := r.fatal(k, &fenced, out.outage); err != nil {
			return true, r.stopForOperator(k, out, err)
		}
		for _, rejected := range out.rejected {
			if err := r.parkRejected(k, rejected); err != nil {
				r.health.Paused(health.Database, err) // it is rejected again, and parked then
			}
		}
		if out.progress {
			retry.Reset()
		}
		if out.outage != nil {
			r.health.Paused(health.Sink, out.outage)
		}
		// A rejection is no outage: what pauses then is the trial of its topic, not the others.
		if out.outage != nil || !out.progress && !out.rejection {
			retry.Wait(ctx) // when ctx ends, the next session finds out at once
		}
	}
}

// lost ends a term whose lease is lost, or that has to claim it anew: then the lease is
// still in this relay's name, also where a lagging standby has become the primary, and the
// next claim need not wait until it has run out.
func (r *Relay) lost(ctx context.Context, k *keeper, out outcome) (done bool, err error) {
	if k.ctx.Err() == nil {
		r.unsureOwner = k.lease.Owner
		r.idsWentBack = errors.Is(context.Cause(k.term), errIDsWentBack)
		r.log.Warn("claiming the lease anew", "epoch", k.lease.Epoch, "reason", context.Cause(k.term))
	} else {
		r.log.Warn("lease lost", "epoch", k.lease.Epoch, "reason", context.Cause(k.ctx))
	}
	switch {
	case ctx.Err() == nil:
		return false, nil
	case k.ctx.Err() == nil:
		// The session ended with the term, before it could delete all that it had delivered.
		if err := r.leftover.delete(ctx, r.part(k)); err != nil {
			r.log.Warn("could not delete what was delivered", "table", r.cfg.table(), "error", err)
		}
		return true, r.finish(k, out)
	}
	return true, r.notDrained(out)
}

// finish ends the last term of a Run: the lease is released only when nothing is on
// its way any more, or the next owner would send it while ours still may arrive
// (hazard early-handover).
func (r *Relay) finish(k *keeper, out outcome) error {
	if err := r.notDrained(out); err != nil {
		return err
	}
	r.release(k)
	r.log.Info("drained", "epoch", k.lease.Epoch)
	return nil
}

// notDrained is an error if the last session left records that are, or may be, with the
// broker and still in the table.
func (r *Relay) notDrained(out outcome) error {
	n := out.undelivered + len(r.leftover.events)
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d records were given up on their way, or are delivered and not deleted; the lease runs "+
		"out in at most %v, and the next owner sends them again",
		ErrNotDrained, n, r.cfg.LeaseTTL)
}

func (r *Relay) halt(k *keeper, out outcome) error {
	rejected := out.rejected[0]
	r.log.Error("halted", "table", rejected.Table, "row", rejected.ID, "event", rejected.EventID,
		"topic", rejected.Topic, "error", rejected.Err)
	return r.stopForOperator(k, out, rejected)
}

// stopForOperator ends a term for a reason that only an operator can remove. The lease row says it.
func (r *Relay) stopForOperator(k *keeper, out outcome, reason error) error {
	err := r.store.Note(k.ctx, k.lease, store.Halted(reason.Error()))
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		r.log.Warn("could not note the reason in the lease row", "error", err)
	}
	if r.notDrained(out) == nil {
		r.release(k)
	}
	return reason
}

func (r *Relay) release(k *keeper) {
	k.saveCheckpoint(k.ctx)
	if err := r.store.HandOver(k.ctx, k.lease, r.assignment.NextOwner(time.Now())); err != nil {
		r.log.Warn("could not release the lease: it runs out by itself", "error", err)
	}
}

// parkRejected moves a row aside that was rejected alone. The session that sent it has
// ended, and nothing is on its way.
func (r *Relay) parkRejected(k *keeper, rejected *RejectedError) error {
	ctx, cancel := context.WithTimeout(k.ctx, r.cfg.answerTimeout)
	defer cancel()
	skipped := r.cfg.OnRejection == Skip && rejected.hash != 0
	event := store.Event{ID: rejected.ID, EventID: rejected.EventID}
	var err error
	if rejected.seq > 0 {
		err = r.store.Reject(ctx, k.lease, []store.Rejection{{
			ParkedEvent: store.ParkedEvent{Seq: rejected.seq, EventID: rejected.EventID},
			Reason:      rejected.Err.Error(), Overtaken: rejected.Overtaken || skipped,
		}})
	} else {
		_, err = r.store.Park(ctx, k.lease, []store.Parking{{
			Event: event, State: db.ParkedFailed, Error: rejected.Err.Error(),
			Overtaken: rejected.Overtaken || skipped,
		}})
	}
	if err != nil {
		k.blocked.forget() // it may have been done
		return fmt.Errorf("park row %d of %s: %w", rejected.ID, rejected.Table, err)
	}
	delete(r.overtaken, rejected.EventID)
	if rejected.seq == 0 && rejected.hash != 0 && !skipped {
		k.blocked.Add(rejected.hash)
	}
	r.log.Warn("parked: the sink rejects an event; `relay parked list` shows what waits",
		"table", rejected.Table, "row", rejected.ID, "event", rejected.EventID, "topic", rejected.Topic,
		"error", rejected.Err, "overtaken", rejected.Overtaken)
	return nil
}
