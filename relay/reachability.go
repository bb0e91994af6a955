package relay

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// A relay process that cannot reach its sink must not keep sources from a process that can, and must not get
// more sources:
//
//   - An owner checks its sink after the sink has failed for unreachableAfter. If the check fails too, the owner
//     writes this into the lease row, and removes its heartbeat, so that nobody hands it a source.
//   - Each process that waits for such a source checks its own sink, at once and then every sinkCheckEvery. A
//     process that cannot reach it removes its heartbeat too.
//   - So after unreachableGrace every process that still has a heartbeat can deliver. The owner hands the source
//     to one of them. In an outage of the broker itself no process has a heartbeat, and every relay keeps its
//     sources: no records that the sink has are given up for nothing.
//   - A process that cannot reach the sink claims a free source only when no other process has a heartbeat.
const (
	unreachableAfter = 10 * time.Second
	unreachableGrace = 8 * time.Second
	sinkCheckEvery   = 5 * time.Second
	sinkCheckTimeout = 5 * time.Second // the longest check; must be shorter than the grace
)

// reachability is what a relay knows about its own connection to the sink. One goroutine at a time uses it:
// that of Run, or during a term the one that runs balance.
type reachability struct {
	unreachable bool
	since       time.Time // of unreachable; in a term, when the others could first see it
	checked     time.Time // when the sink was checked
	recorded    bool      // value of unreachable in the lease row of the term
	cause       string    // of the outage that the lease row has; "": none
}

// checkSink checks the sink if a check is due, and records the result.
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

// withdraw removes the heartbeat, so that no other process counts on this one.
func (r *Relay) withdraw(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := r.store.Leave(ctx, r.cfg.Member.ID()); err != nil {
		r.log.Debug("could not take the heartbeat back: it is ignored after a while", "error", err)
	}
}

// evacuate checks the sink of a term. It returns the process that should get the source, if there is one.
func (r *Relay) evacuate(ctx context.Context, k *keeper) (heir uuid.UUID, ok bool) {
	switch failed := r.health.FailedFor(health.Sink, time.Now()); {
	case failed == 0:
		r.noteReach(ctx, nil) // it delivers, so it can be reached
	case failed >= r.cfg.unreachableAfter:
		r.checkSink(ctx)
	}
	reach := &r.reach
	if reach.unreachable != reach.recorded {
		if err := r.store.Note(ctx, k.lease, store.SinkUnreachable(reach.unreachable)); err != nil {
			return uuid.Nil, false // tried again next time
		}
		reach.recorded = reach.unreachable
		if reach.unreachable {
			reach.since = time.Now() // the grace begins when the others can see it
		}
		return uuid.Nil, false
	}
	if !reach.unreachable || time.Since(reach.since) < r.cfg.unreachableGrace {
		return uuid.Nil, false
	}
	r.heartbeat(ctx) // the check of a silent sink takes longer than heartbeats stay fresh
	return r.assignment.Evacuate(time.Now())
}

// recordOutage writes into the lease row why the sink accepts nothing, for relay status and relay doctor. It
// writes the current cause when an outage has lasted for unreachableAfter, and clears the cause after the
// outage. A failed write is tried again with the next heartbeat.
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

// watchSink logs when the sink acknowledges nothing for a long time, because a sink that retries during an
// outage reports no error.
func (s *session) watchSink(ctx context.Context) {
	const patience = 10 * time.Second
	lastTotal, since := int64(-1), time.Now()
	reporter, _ := s.sink.(OutageReporter)
	for pacing.Sleep(ctx, time.Second, nil) {
		if reporter != nil {
			if err := reporter.Outage(); err != nil {
				s.health.Paused(health.Sink, err)
				continue
			}
		}
		_, waiting, _ := s.inFlight.Counts()
		total := s.inFlight.DeliveredTotal()
		if total != lastTotal || waiting == 0 {
			idle := s.transaction != nil && waiting == 0 && total == lastTotal // Open has asked the sink
			if total > 0 && total != lastTotal || idle {
				s.health.Resumed(health.Sink)
			}
			lastTotal, since = total, time.Now()
			continue
		}
		if reporter == nil && time.Since(since) >= patience {
			s.health.Paused(health.Sink, errSilentSink)
		}
	}
}

var errSilentSink = errors.New("the sink has acknowledged nothing for 10s: is the broker reachable, and the " +
	"topic there?")
