package relay

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/postroom/postroom/internal/dialect"
)

// A relay process that cannot reach its sink is blind. It must neither keep sources from
// a process that can, nor be given more:
//
//   - An owner whose sink has failed for blindAfter, and does not pass its check, says so in
//     the lease row, and takes its heartbeat back, so that nobody hands it a source.
//   - Whoever waits for such a source checks its own sink, at once and then every
//     blindLookEvery. One that cannot reach it takes its heartbeat back too.
//   - So after blindGrace the processes that are still heard of can deliver. The owner hands
//     the source to one of them. In an outage of the broker itself nobody is heard of, and
//     every relay keeps what it has: records on their way are not given up for nothing.
//   - A blind process claims a free source only when no other one is heard of.
const (
	blindAfter     = 10 * time.Second
	blindGrace     = 8 * time.Second
	blindLookEvery = 5 * time.Second
	blindLookFor   = 5 * time.Second // the longest check; with the grace longer than it
)

// sight is what a relay knows of its own way to the sink. Run's goroutine and the one that
// balances a turn use it in turn.
type sight struct {
	mu     sync.Mutex
	blind  bool
	since  time.Time // it went blind
	looked time.Time // at the sink
	told   bool      // in the lease row of the turn under way
	cause  string    // of the outage that the lease row tells of; "": of none
}

func (s *sight) isBlind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blind
}

// untold forgets what the lease row says: a claim has cleared it.
func (s *sight) untold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told, s.cause = false, ""
}

// reset forgets everything: Run has ended.
func (s *sight) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blind, s.since, s.looked, s.told, s.cause = false, time.Time{}, time.Time{}, false, ""
}

// lookDue reports whether the sink is to be checked again, and notes that it is.
func (s *sight) lookDue(now time.Time, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.looked.IsZero() && now.Sub(s.looked) < every {
		return false
	}
	s.looked = now
	return true
}

// look checks the sink if that is due, and follows what it finds.
func (r *Relay) look(ctx context.Context) {
	if !r.sight.lookDue(time.Now(), r.cfg.blindLookEvery) {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, r.cfg.blindLookFor)
	defer cancel()
	err := r.cfg.Sink.Check(bounded)
	if ctx.Err() == nil {
		r.turnBlind(ctx, err)
	}
}

// turnBlind notes whether the sink can be reached.
func (r *Relay) turnBlind(ctx context.Context, err error) {
	r.sight.mu.Lock()
	changed := r.sight.blind != (err != nil)
	r.sight.blind = err != nil
	if changed {
		r.sight.since = time.Now()
	}
	r.sight.mu.Unlock()
	if !changed {
		return
	}
	r.cfg.Process.wentBlind(err != nil)
	if err == nil {
		r.log.Info("the sink can be reached again: this relay takes sources again")
		return
	}
	r.log.Warn("the sink cannot be reached from here: relays that can go first, and are handed what this one owns", "error", err)
	r.withdraw(ctx)
}

// withdraw takes the heartbeat back.
func (r *Relay) withdraw(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, r.spread.beatEvery()/2)
	defer cancel()
	if err := r.store.Leave(bounded, r.cfg.Process.id); err != nil {
		r.log.Debug("could not take the heartbeat back: it is ignored after a while", "error", err)
	}
}

// hear returns the other processes that are heard of, and lets them hear of this one unless
// it is blind.
func (r *Relay) hear(ctx context.Context, me dialect.Member) ([]dialect.Member, error) {
	if !r.sight.isBlind() {
		return r.store.Beat(ctx, me, r.spread.window())
	}
	all, err := r.store.Members(ctx)
	var live []dialect.Member
	for _, m := range all {
		if m.ID != me.ID && max(m.Age, -m.Age) <= r.spread.window() {
			live = append(live, m)
		}
	}
	return live, err
}

// evacuate looks after the sink of a turn. It returns the process that the source is to be
// handed to.
func (r *Relay) evacuate(ctx context.Context, k *keeper) (heir uuid.UUID, ok bool) {
	switch failed := r.health.failedFor(partSink, time.Now()); {
	case failed == 0:
		r.turnBlind(ctx, nil) // it delivers
	case failed >= r.cfg.blindAfter:
		r.look(ctx)
	}
	r.sight.mu.Lock()
	blind, since, told := r.sight.blind, r.sight.since, r.sight.told
	r.sight.mu.Unlock()
	if blind != told {
		if err := r.store.NoteBlind(ctx, k.lease, blind); err != nil {
			return uuid.Nil, false // once more the next time
		}
		r.sight.mu.Lock()
		r.sight.told = blind
		if blind {
			r.sight.since = time.Now() // the grace begins when the others can know
		}
		r.sight.mu.Unlock()
		return uuid.Nil, false
	}
	if !blind || time.Since(since) < r.cfg.blindGrace {
		return uuid.Nil, false
	}
	r.beat(ctx) // looking at a sink that does not answer takes longer than what was heard stays fresh
	return r.spread.evacuate(time.Now())
}

// tellOutage has the lease row say why the sink takes nothing, for relay status and relay
// doctor, when it has not for blindAfter: what stands in the way now, or nothing any more.
// A failed write is tried again with the next heartbeat.
func (r *Relay) tellOutage(ctx context.Context, k *keeper) {
	since, err := r.health.outage(partSink)
	cause, reason := "", ""
	if err != nil && time.Since(since) >= r.cfg.blindAfter {
		cause, reason = outageCause(err), err.Error()
	}
	r.sight.mu.Lock()
	told := r.sight.cause
	r.sight.mu.Unlock()
	if cause == told {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	if r.store.NoteOutage(ctx, k.lease, since, reason) != nil {
		return
	}
	r.sight.mu.Lock()
	r.sight.cause = cause
	r.sight.mu.Unlock()
}
