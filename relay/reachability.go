package relay

import (
	"context"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
)

// A relay process that cannot reach its sink must neither keep sources from a process that
// can, nor be given more:
//
//   - An owner whose sink has failed for unreachableAfter, and does not pass its check, says so in
//     the lease row, and takes its heartbeat back, so that nobody hands it a source.
//   - Whoever waits for such a source checks its own sink, at once and then every
//     sinkCheckEvery. One that cannot reach it takes its heartbeat back too.
//   - So after unreachableGrace the processes that are still heard of can deliver. The owner hands
//     the source to one of them. In an outage of the broker itself nobody is heard of, and
//     every relay keeps what it has: records on their way are not given up for nothing.
//   - A process that cannot reach the sink claims a free source only when no other one is heard of.
const (
	unreachableAfter = 10 * time.Second
	unreachableGrace = 8 * time.Second
	sinkCheckEvery   = 5 * time.Second
	sinkCheckTimeout = 5 * time.Second // the longest check; with the grace longer than it
)

// reachability is what a relay knows of its own way to the sink. One goroutine at a time uses it: that of
// Run, or during a term the one that runs balance.
type reachability struct {
	unreachable bool
	since       time.Time // of unreachable; in a term, since the others can know of it
	checked     time.Time // at the sink
	recorded    bool      // unreachable, as the lease row of the term has it
	cause       string    // of the outage that the lease row has; "": none
}

// checkSink checks the sink if that is due, and follows what it finds.
func (r *Relay) checkSink(ctx context.Context) {
	if time.Since(r.reach.checked) < r.cfg.sinkCheckEvery {
		return
	}
	r.reach.checked = time.Now()
	bounded, cancel := context.WithTimeout(ctx, r.cfg.sinkCheckTimeout)
	defer cancel()
	err := r.cfg.Sink.Check(bounded)
	if ctx.Err() == nil {
		r.noteReach(ctx, err)
	}
}

// noteReach notes whether the sink can be reached.
func (r *Relay) noteReach(ctx context.Context, err error) {
	if r.reach.unreachable == (err != nil) {
		return
	}
	r.reach.unreachable, r.reach.since = err != nil, time.Now()
	r.cfg.Member.counts.NoteReach(err != nil)
	if err == nil {
		r.log.Info("the sink can be reached again: this relay takes sources again")
		return
	}
	r.log.Warn("the sink cannot be reached from here: relays that can go first, and are handed what this one owns",
		"error", err)
	r.withdraw(ctx, r.assignment.HeartbeatEvery()/2)
}

// withdraw takes the heartbeat back, so that no other process counts on this one.
func (r *Relay) withdraw(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := r.store.Leave(ctx, r.cfg.Member.ID()); err != nil {
		r.log.Debug("could not take the heartbeat back: it is ignored after a while", "error", err)
	}
}

// evacuate looks after the sink of a term. It returns the process that the source is to be
// handed to.
func (r *Relay) evacuate(ctx context.Context, k *keeper) (heir uuid.UUID, ok bool) {
	switch failed := r.health.FailedFor(health.Sink, time.Now()); {
	case failed == 0:
		r.noteReach(ctx, nil) // it delivers
	case failed >= r.cfg.unreachableAfter:
		r.checkSink(ctx)
	}
	reach := &r.reach
	if reach.unreachable != reach.recorded {
		if err := r.store.Note(ctx, k.lease, store.SinkUnreachable(reach.unreachable)); err != nil {
			return uuid.Nil, false // once more the next time
		}
		reach.recorded = reach.unreachable
		if reach.unreachable {
			reach.since = time.Now() // the grace begins when the others can know
		}
		return uuid.Nil, false
	}
	if !reach.unreachable || time.Since(reach.since) < r.cfg.unreachableGrace {
		return uuid.Nil, false
	}
	r.heartbeat(ctx) // looking at a sink that does not answer takes longer than what was heard stays fresh
	return r.assignment.Evacuate(time.Now())
}

// recordOutage has the lease row say why the sink takes nothing, for relay status and relay
// doctor, when it has not for unreachableAfter: the present cause, or nothing any more.
// A failed write is tried again with the next heartbeat.
func (r *Relay) recordOutage(ctx context.Context, k *keeper) {
	since, err := r.health.Outage(health.Sink)
	cause, reason := "", ""
	if err != nil && time.Since(since) >= r.cfg.unreachableAfter {
		cause, reason = health.Cause(err), err.Error()
	}
	if cause == r.reach.cause {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	if r.store.Note(ctx, k.lease, store.SinkOutage(since, reason)) == nil {
		r.reach.cause = cause
	}
}
