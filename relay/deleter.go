package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// minRun is the length from which a run of consecutive ids is deleted as a range. A
// range costs a statement of its own; shorter runs and single ids share one.
const minRun = 500

// maxDelete and maxDeleteBytes bound the rows of one delete, so that a lock or a lost
// connection costs little, the rows of a long outage are not deleted in one transaction,
// and what is large is deleted, or moved into the archive, well within answerTimeout.
const (
	maxDelete      = 20000
	maxDeleteBytes = 128 << 20
)

// deletable returns how many of n rows, and at most limit, are deleted at once: as many as
// fit, and one at least.
func deletable(n, limit int, size func(i int) int64) int {
	n = min(n, limit)
	bytes := int64(0)
	for i := range n {
		if bytes += size(i); i > 0 && bytes > maxDeleteBytes {
			return i
		}
	}
	return n
}

// gatherFor is how long short runs wait for their neighbours. A broker acknowledges
// by partition, so that ids arrive with holes which close soon after, and a range is
// much cheaper to delete than as many single rows. It delays no delivery; a crash
// repeats so much more.
const gatherFor = 50 * time.Millisecond

// plan says how to delete delivered records, which ascend. A run holds consecutive,
// delivered ids and nothing else: an id that was not delivered may be filled by a
// commit at any time, and a range over it would delete that event unsent (hazard range-delete).
func plan(delivered []*flight) dialect.Deletion {
	var d dialect.Deletion
	for start := 0; start < len(delivered); {
		end := runEnd(delivered, start)
		if end-start >= minRun {
			d.Runs = append(d.Runs, dialect.Run{Lo: delivered[start].id, Last: delivered[end-1].event()})
		} else {
			for _, fl := range delivered[start:end] {
				d.Events = append(d.Events, fl.event())
			}
		}
		start = end
	}
	return d
}

// deleteLoop deletes what the sink acknowledged, long runs at once and the rest after a
// short while, until ctx ends. A failed delete keeps its ids in flight and is tried again.
func (s *session) deleteLoop(ctx context.Context) {
	retry := newBackoff(s.relay.cfg.RetryMin, s.relay.cfg.RetryMax)
	var gathered <-chan time.Time // when the short runs have waited long enough; nil: none waits
	uncertain := false
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-s.flights.hasDelivered:
		case <-s.deleteNow:
			all, gathered = true, nil
		case <-gathered:
			all, gathered = true, nil
		}
		var taken []*flight
		if all || !s.relay.cfg.Archive { // long runs that go first would mix up the archive's order
			taken = s.flights.takeDelivered(all, maxDelete)
		}
		if len(taken) == 0 {
			if gathered == nil && !all {
				gathered = time.After(gatherFor)
			}
			continue
		}
		err := s.delete(ctx, taken, uncertain)
		if dialect.IsLockTimeout(err) {
			if taken, err = s.deleteUnlocked(ctx, taken, lockWaits); err == nil {
				s.keepLocked(ctx, taken)
			}
		}
		uncertain = err != nil // it may have committed without our hearing of it
		if err != nil {
			s.flights.putBack(taken)
			if ctx.Err() != nil || s.keeper.term.Err() != nil {
				return
			}
			s.relay.health.paused(partDeletes, err)
			if !retry.wait(ctx) {
				return
			}
		} else {
			s.relay.health.resumed(partDeletes)
			retry.reset()
		}
		signal(s.flights.hasDelivered) // there may be more
	}
}

// delete removes one batch. Fewer rows than it named: the lease is looked at before
// anything else. If we still hold it, rows were deleted by somebody else or hold other
// events now: unless it was our own delete whose answer was lost, the term ends.
func (s *session) delete(ctx context.Context, taken []*flight, uncertain bool) error {
	return s.deletePlanned(ctx, plan(taken), taken, uncertain)
}

func (s *session) deletePlanned(ctx context.Context, d dialect.Deletion, taken []*flight, uncertain bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	n, err := s.deleteRows(ctx, d, taken)
	if err != nil {
		return err
	}
	if n < int64(len(taken)) {
		// A run whose last row is gone was left alone as a whole. What is left of it goes
		// row by row, or it would be read and sent again.
		if err := s.relay.removeNamed(ctx, s.lease, places(taken)); err != nil {
			s.keeper.endIfLost(err)
			return err
		}
		if err := s.remaining(ctx, taken); err != nil {
			return err
		}
		if uncertain {
			s.readFromStart.Store(true)
		} else {
			s.relay.log.Warn("delivered rows were gone or held other events",
				"table", s.relay.store.Table(), "delivered", len(taken), "deleted", n)
			s.keeper.endIfLost(errIDsWentBack)
		}
	}
	s.flights.deleted(taken)
	return nil
}

// remaining fails if delivered rows outlived their delete, as a trigger or a policy may
// bring about. They must stay in flight, or they would be sent again without end.
func (s *session) remaining(ctx context.Context, taken []*flight) error {
	named := make(map[dialect.Event]bool, len(taken))
	for _, fl := range taken {
		named[fl.event()] = true
	}
	held, _, _ := s.flights.counts()
	n := 0
	err := s.relay.store.Below(ctx, taken[len(taken)-1].id, held+int(s.onShelf.Load())+inGaps, func(e dialect.Event) bool {
		if named[e] {
			n++
		}
		return true
	})
	if err == nil && n > 0 {
		err = fmt.Errorf("%d delivered rows of %s are still there after their delete: look for a trigger, a rule or a row security policy that keeps them",
			n, s.relay.store.Table())
	}
	return err
}

func places(taken []*flight) []dialect.Delivered {
	list := make([]dialect.Delivered, len(taken))
	for i, fl := range taken {
		list[i] = fl.place()
	}
	return list
}

func events(taken []*flight) []dialect.Event {
	list := make([]dialect.Event, len(taken))
	for i, fl := range taken {
		list[i] = fl.event()
	}
	return list
}

// deleteRows deletes delivered rows as d names them, or moves them into the archive.
func (s *session) deleteRows(ctx context.Context, d dialect.Deletion, taken []*flight) (int64, error) {
	if !s.relay.cfg.Archive {
		return s.relay.store.Delete(ctx, s.lease, d)
	}
	rows := make([]dialect.Delivered, len(taken))
	for i, fl := range taken {
		rows[i] = fl.place()
	}
	n, err := s.relay.store.DeleteArchiving(ctx, s.lease, rows)
	if err != nil {
		s.keeper.endIfLost(err)
		err = s.relay.explainArchive(err)
	}
	return n, err
}

// removeNamed is remove for what an earlier session delivered, or remove passed over. When
// it has returned without an error, nothing of it is left on the server that granted l.
func (r *Relay) removeNamed(ctx context.Context, l dialect.Lease, rows []dialect.Delivered) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	if r.cfg.Archive {
		_, err := r.store.DeleteArchiving(ctx, l, rows)
		return r.explainArchive(err)
	}
	events := make([]dialect.Event, len(rows))
	for i, row := range rows {
		events[i] = row.Event
	}
	_, err := r.store.DeleteNamed(ctx, l, events)
	return err
}
