package relay

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// errHandedOver ends a term in favour of another process.
var errHandedOver = errors.New("handed over to another relay process")

// heartbeat writes this process's row and reads those of the others. If it fails, delivery goes on, and only
// the assignment is uneven: a process that knows of no other one claims every free source and hands over
// none.
func (r *Relay) heartbeat(ctx context.Context) {
	if time.Now().Before(r.noHeartbeatBefore) {
		return
	}
	limited, cancel := context.WithTimeout(ctx, r.assignment.HeartbeatEvery()/2)
	defer cancel()
	me := store.Member{ID: r.cfg.Member.ID(), Host: r.cfg.Member.counts.Host(), Owned: r.cfg.Member.Owned()}
	// A process that cannot reach the sink hides, so that nobody hands it a source.
	others, err := r.store.Heartbeat(limited, me, r.assignment.Window(), r.reach.unreachable)
	if ctx.Err() != nil {
		return
	}
	r.assignment.NoteOthers(others, me.Owned, time.Now())
	switch {
	case err == nil && r.heartbeatFails:
		r.log.Info("sources are spread over the relay processes again")
	case err != nil && !r.heartbeatFails:
		hint := "nothing needs to be done: this ends when the database answers"
		switch {
		case db.IsMissingTable(err):
			hint = "run `relay migrate up`"
		case db.IsDenied(err):
			hint = "grant the relay's user what docs/tables.md lists"
		}
		r.log.Warn("sources are not spread evenly over the relay processes: delivery is not affected", "error", err,
			"hint", hint)
	}
	r.heartbeatFails = err != nil
	if db.IsMissingTable(err) || db.IsDenied(err) {
		r.noHeartbeatBefore = time.Now().Add(time.Minute) // only a person can repair this
	}
}

// waitForTurn checks whether the lease is free and whether this process may claim it now. It returns the time
// until the next check, or 0 if the process may claim.
func (r *Relay) waitForTurn(ctx context.Context) (time.Duration, error) {
	if r.unsureOwner != uuid.Nil {
		return 0, nil // the lease may be ours already, and only seem to be held
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.LeaseTTL)
	defer cancel()
	if r.assignment.HeartbeatDue(time.Now(), false) {
		r.heartbeat(ctx)
	}
	state, err := r.store.LeaseState(ctx, r.cfg.LeaseTTL)
	if err != nil {
		return 0, err
	}
	if !state.Free {
		r.warnOtherMode(Mode(state.Mode))
	}
	if state.SinkUnreachable || r.reach.unreachable || r.cfg.Member.counts.AnyUnreachable() {
		r.checkSink(ctx)
	}
	if r.reach.unreachable && r.assignment.OthersHeard(time.Now()) {
		return r.assignment.PollEvery(), nil // the others can deliver, and this process cannot
	}
	wait := r.assignment.Wait(state, time.Now())
	if wait > 0 || !r.assignment.HeartbeatDue(time.Now(), true) {
		return wait, nil
	}
	r.heartbeat(ctx) // the decision needs fresh numbers of owned sources
	return r.assignment.Wait(state, time.Now()), nil
}

// balance writes heartbeats while a term lasts, and ends the term when another process should
// have the source.
func (r *Relay) balance(ctx context.Context, k *keeper, handOver context.CancelCauseFunc) {
	every := r.assignment.HeartbeatEvery()
	for pacing.Sleep(ctx, every*3/4+r.assignment.Random(every/4), nil) {
		r.heartbeat(ctx)
		r.recordOutage(ctx, k)
		if heir, ok := r.evacuate(ctx, k); ok {
			r.log.Warn("handing this source over: the sink cannot be reached from here", "relay", heir)
			handOver(errHandedOver)
			return
		}
		if r.health.Failing() {
			continue // the records that are not acknowledged would not be drained
		}
		if heir, ok := r.assignment.HandOver(time.Now()); ok {
			r.log.Info("handing this source over: another relay process owns fewer", "relay", heir,
				"owned", r.cfg.Member.Owned())
			handOver(errHandedOver)
			return
		}
	}
}

// leave removes this process from the fleet, because Run has ended.
func (r *Relay) leave() {
	r.assignment.Left()
	if r.reach.unreachable {
		r.cfg.Member.counts.NoteReach(false)
		r.reach = reachability{}
	}
	if !r.heartbeatFails {
		r.withdraw(context.Background(), min(r.cfg.LeaseTTL/4, 2*time.Second))
	}
}
