package relay

import (
	"context"
	"slices"

	"github.com/postroom/postroom/internal/dialect"
)

// minRun is the length from which a run of consecutive ids is deleted as a range. A
// range costs a statement of its own, shorter runs share one.
const minRun = 64

// maxDelete bounds the rows of one delete, so that a lock or a lost connection costs
// little, and the rows of a long outage are not deleted in one transaction.
const maxDelete = 20000

// plan sorts the delivered records, which may not be empty, and says how to delete
// them. A run holds consecutive, delivered ids and nothing else: an id that was not
// delivered may be filled by a commit at any time, and a range over it would delete
// that event unsent (hazard 6).
func plan(delivered []*flight) dialect.Deletion {
	slices.SortFunc(delivered, func(a, b *flight) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	var d dialect.Deletion
	for start := 0; start < len(delivered); {
		end := start + 1
		for end < len(delivered) && delivered[end].id == delivered[end-1].id+1 {
			end++
		}
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

// deleteLoop deletes what the sink acknowledged, as much at a time as has gathered,
// until ctx ends. A failed delete keeps its ids in flight and is tried again.
func (s *session) deleteLoop(ctx context.Context) {
	retry := newBackoff(s.relay.cfg.RetryMin, s.relay.cfg.RetryMax)
	uncertain := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.flights.ackedDelivered:
		}
		for {
			taken := s.flights.takeDelivered()
			if len(taken) == 0 {
				break
			}
			if len(taken) > maxDelete {
				s.flights.putBack(taken[maxDelete:])
				taken = taken[:maxDelete:maxDelete]
			}
			err := s.delete(ctx, taken, uncertain)
			uncertain = err != nil // it may have committed without our hearing of it
			if err != nil {
				s.flights.putBack(taken)
				if ctx.Err() != nil {
					return
				}
				s.relay.health.paused("database", err)
				if !retry.wait(ctx) {
					return
				}
				continue
			}
			s.relay.health.resumed("database")
			retry.reset()
		}
	}
}

// delete removes one batch. Fewer rows than it named: the lease is looked at before
// anything else. If we still hold it, rows were deleted by somebody else or hold other
// events now, and the table is read again from the start.
func (s *session) delete(ctx context.Context, taken []*flight, uncertain bool) error {
	n, err := s.relay.store.Delete(ctx, s.lease, plan(taken))
	if err != nil {
		return err
	}
	if n < int64(len(taken)) {
		held, err := s.relay.store.Held(ctx, s.lease)
		if err != nil {
			return err
		}
		if !held {
			s.keeper.lost(dialect.ErrLeaseLost)
			return dialect.ErrLeaseLost
		}
		if !uncertain {
			s.relay.log.Warn("delivered rows were gone or held other events; reading from the start",
				"table", s.relay.store.Table(), "delivered", len(taken), "deleted", n)
		}
		s.reread.Store(true)
	}
	s.flights.deleted(taken)
	return nil
}
