package relay

import (
	"context"
	"sync"
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

// reachability is what a relay knows of its own way to the sink. Run's goroutine and the one that
// balances a term use it in turn.
type reachability struct {
	mu          sync.Mutex
	unreachable bool
	since       time.Time // it cannot reach the sink
	checked     time.Time // at the sink
	recorded    bool      // in the lease row of the term under way
	cause       string    // of the outage that the lease row has; "": none
}

func (s *reachability) isUnreachable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unreachable
}

// clearRecorded forgets what the lease row says: a claim has cleared it.
func (s *reachability) clearRecorded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded, s.cause = false, ""
}

// reset forgets everything: Run has ended.
func (s *reachability) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreachable, s.since, s.checked, s.recorded, s.cause = false, time.Time{}, time.Time{}, false, ""
}

// checkDue reports whether the sink is to be checked again, and notes that it is.
func (s *reachability) checkDue(now time.Time, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.checked.IsZero() && now.Sub(s.checked) < every {
		return false
	}
	s.checked = now
	return true
}

// checkSink checks the sink if that is due, and follows what it finds.
func (r *Relay) checkSink(ctx context.Context) {
	if !r.reach.checkDue(time.Now(), r.cfg.sinkCheckEvery) {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, r.cfg.sinkCheckTimeout)
	defer cancel()
	err := r.cfg.Sink.Check(bounded)
	if ctx.Err() == nil {
		r.noteReach(ctx, err)
	}
}

// noteReach notes whether the sink can be reached.
func (r *Relay) noteReach(ctx context.Context, err error) {
	r.reach.mu.Lock()
	changed := r.reach.unreachable != (err != nil)
	r.reach.unreachable = err != nil
	if changed {
		r.reach.since = time.Now()
	}
	r.reach.mu.Unlock()
	if !changed {
		return
	}
	r.cfg.Member.counts.NoteReach(err != nil)
	if err == nil {
		r.log.Info("the sink can be reached again: this relay takes sources again")
		return
	}
	r.log.Warn("the sink cannot be reached from here: relays that can go first, and are handed what this one owns",
		"error", err)
	r.withdraw(ctx)
}

// withdraw takes the heartbeat back.
func (r *Relay) withdraw(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, r.assignment.HeartbeatEvery()/2)
	defer cancel()
	if err := r.store.Leave(bounded, r.cfg.Member.ID()); err != nil {
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
	r.reach.mu.Lock()
	blind, since, recorded := r.reach.unreachable, r.reach.since, r.reach.recorded
	r.reach.mu.Unlock()
	if blind != recorded {
		if err := r.store.Note(ctx, k.lease, store.SinkUnreachable(blind)); err != nil {
			return uuid.Nil, false // once more the next time
		}
		r.reach.mu.Lock()
		r.reach.recorded = blind
		if blind {
			r.reach.since = time.Now() // the grace begins when the others can know
		}
		r.reach.mu.Unlock()
		return uuid.Nil, false
	}
	if !blind || time.Since(since) < r.cfg.unreachableGrace {
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
	r.reach.mu.Lock()
	recorded := r.reach.cause
	r.reach.mu.Unlock()
	if cause == recorded {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	if r.store.Note(ctx, k.lease, store.SinkOutage(since, reason)) != nil {
		return
	}
	r.reach.mu.Lock()
	r.reach.cause = cause
	r.reach.mu.Unlock()
}
