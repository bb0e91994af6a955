package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/blocked"
	"github.com/postroom/postroom/relay/internal/checkpoint"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// term has what is kept for as long as a lease is held: the lease itself, and what the sessions of the term
// know. One session follows another, and each uses it without a lock. Another goroutine saves the checkpoint
// at the same time.
//
// Its keeper renews the lease, and has two contexts: ctx ends when the lease cannot be trusted any more, active
// also when the lease must be claimed again.
type term struct {
	*keeper

	mode       Mode   // mode in the lease row
	position   []byte // position in the manifests, from the lease row
	checkpoint *checkpoint.Saved
	blocked    *blockedKeys
	trials     *lanes.Trials // trials of topics
	sweepDue   time.Time     // when the next sweep is due; zero: at once
}

// newTerm begins a term with the content of the lease row.
func newTerm(k *keeper) *term {
	return &term{keeper: k, mode: Mode(k.lease.Mode), position: k.lease.Position,
		checkpoint: checkpoint.NewSaved(k.lease.Checkpoint, k.lease.Server),
		blocked:    &blockedKeys{Keys: blocked.New(blocked.Max)}, trials: lanes.NewTrials()}
}

// saveCheckpoint writes the checkpoint into the lease row, if it has changed.
func (t *term) saveCheckpoint() {
	ctx, cancel := context.WithTimeout(t.ctx, t.ttl/10)
	defer cancel()
	t.checkpoint.Save(func(text []byte) error { return t.store.Note(ctx, t.lease, store.Checkpoint(text)) })
}

// finishWithoutLease ends a term whose lease is lost, or that has to claim it again. In the second case the
// lease still has this relay's name, even if a lagging standby has become the primary. So the next claim need
// not wait until the lease has expired.
func (r *Relay) finishWithoutLease(ctx context.Context, t *term, out outcome) (done bool, err error) {
	if t.ctx.Err() == nil {
		r.unsureOwner = t.lease.Owner
		r.idsWentBack = errors.Is(context.Cause(t.active), errIDsWentBack)
		r.log.Warn("claiming the lease anew", "epoch", t.lease.Epoch, "reason", context.Cause(t.active))
	} else {
		r.log.Warn("lease lost", "epoch", t.lease.Epoch, "reason", context.Cause(t.ctx))
	}
	switch {
	case ctx.Err() == nil:
		return false, nil
	case t.ctx.Err() == nil:
		// The session ended together with the term, before it could delete all rows that it had delivered.
		if err := r.leftover.delete(ctx, r.part(t), r.store); err != nil {
			r.log.Warn("could not delete what was delivered", "table", r.cfg.table(), "error", err)
		}
		return true, r.finish(t, out)
	}
	return true, r.notDrained(out)
}

// finish ends the last term of a Run. It releases the lease only when the sink has no unacknowledged record.
// Otherwise the next owner would send a record that may still arrive from this relay (hazard early-handover).
func (r *Relay) finish(t *term, out outcome) error {
	if err := r.notDrained(out); err != nil {
		return err
	}
	r.release(t)
	r.log.Info("drained", "epoch", t.lease.Epoch)
	return nil
}

// notDrained returns an error if records of the last session are, or may be, with the broker while their rows
// are still in the table.
func (r *Relay) notDrained(out outcome) error {
	n := out.undelivered + len(r.leftover.events)
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d records were given up on their way, or are delivered and not deleted; the lease runs "+
		"out in at most %v, and the next owner sends them again",
		ErrNotDrained, n, r.cfg.LeaseTTL)
}

func (r *Relay) halt(t *term, out outcome) error {
	rejected := out.rejected[0]
	r.log.Error("halted", "table", rejected.Table, "row", rejected.ID, "event", rejected.EventID,
		"topic", rejected.Topic, "error", rejected.Err)
	return r.stopForOperator(t, out, rejected)
}

// stopForOperator ends a term for a reason that only an operator can remove, and writes the reason to the
// lease row.
func (r *Relay) stopForOperator(t *term, out outcome, reason error) error {
	err := r.store.Note(t.ctx, t.lease, store.Halted(reason.Error()))
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		r.log.Warn("could not note the reason in the lease row", "error", err)
	}
	if r.notDrained(out) == nil {
		r.release(t)
	}
	return reason
}

func (r *Relay) release(t *term) {
	t.saveCheckpoint()
	if err := r.store.HandOver(t.ctx, t.lease, r.assignment.NextOwner(time.Now())); err != nil {
		r.log.Warn("could not release the lease: it runs out by itself", "error", err)
	}
}

// parkRejected parks a row that was rejected alone. The session that sent it has ended, and the sink has no
// unacknowledged record.
func (r *Relay) parkRejected(t *term, rejected *RejectedError) error {
	ctx, cancel := context.WithTimeout(t.ctx, r.cfg.answerTimeout)
	defer cancel()
	skipped := r.cfg.OnRejection == Skip && rejected.keyed()
	event := store.Event{ID: rejected.ID, EventID: rejected.EventID}
	var err error
	if rejected.parked() {
		err = r.store.Reject(ctx, t.lease, []store.Rejection{{
			ParkedEvent: store.ParkedEvent{Seq: rejected.seq, EventID: rejected.EventID},
			Reason:      rejected.Err.Error(), Overtaken: rejected.Overtaken || skipped,
		}})
	} else {
		_, err = r.store.Park(ctx, t.lease, []store.Parking{{
			Event: event, State: db.ParkedFailed, Error: rejected.Err.Error(),
			Overtaken: rejected.Overtaken || skipped,
		}})
	}
	if err != nil {
		t.blocked.forget() // the move may have committed
		return fmt.Errorf("park row %d of %s: %w", rejected.ID, rejected.Table, err)
	}
	delete(r.overtaken, rejected.EventID)
	if !rejected.parked() && rejected.keyed() && !skipped {
		t.blocked.Add(rejected.hash)
	}
	r.log.Warn("parked: the sink rejects an event; `relay parked list` shows what waits",
		"table", rejected.Table, "row", rejected.ID, "event", rejected.EventID, "topic", rejected.Topic,
		"error", rejected.Err, "overtaken", rejected.Overtaken)
	return nil
}
