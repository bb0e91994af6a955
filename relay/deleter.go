package relay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// deleter removes delivered rows from outbox_events, or moves them to the archive. It runs
// beside the reader.
type deleter struct {
	relay    *Relay
	keeper   *keeper
	lease    store.Lease
	inFlight *inFlightSet
	shelved  *atomic.Int64 // rows on the shelf

	deleteNow     chan struct{} // asks for a delete at once, without waiting for more rows
	readFromStart atomic.Bool   // asks the reader to start over: the outcome of a delete is not known
}

func newDeleter(r *Relay, k *keeper, flights *inFlightSet, shelved *atomic.Int64) *deleter {
	return &deleter{relay: r, keeper: k, lease: k.lease, inFlight: flights, shelved: shelved,
		deleteNow: make(chan struct{}, 1)}
}

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

// deletable returns how many of n rows one delete takes: at most limit, as many as fit into
// maxDeleteBytes, and one at least.
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

// gatherFor is how long short runs wait for their neighbours. A broker acknowledges by
// partition, so ids arrive with holes that close soon after, and a range is much cheaper to
// delete than as many single rows. The wait delays no delivery. After a crash, events of that
// time are sent again.
const gatherFor = 50 * time.Millisecond

// plan says how to delete delivered records, which ascend. A run holds consecutive,
// delivered ids and nothing else: an id that was not delivered may be filled by a
// commit at any time, and a range over it would delete that event unsent (hazard range-delete).
func plan(delivered []*flight) store.Deletion {
	var d store.Deletion
	for start := 0; start < len(delivered); {
		end := runEnd(delivered, start)
		if end-start >= minRun {
			d.Runs = append(d.Runs, store.Run{Lo: delivered[start].id, Last: delivered[end-1].event()})
		} else {
			for _, fl := range delivered[start:end] {
				d.Events = append(d.Events, fl.event())
			}
		}
		start = end
	}
	return d
}

// run deletes the rows whose records the sink acknowledged, until ctx ends. Each time it
//
//  1. waits for an acknowledgement, and for single rows a little longer: their neighbours may follow;
//  2. takes delivered rows from the in-flight set, which keeps them;
//  3. deletes them, fenced by the lease;
//  4. goes around rows that another transaction has locked, and keeps those for later;
//  5. has the in-flight set forget the deleted rows, or puts them back and tries again.
func (d *deleter) run(ctx context.Context) {
	retry := pacing.NewBackoff(d.relay.cfg.RetryMin, d.relay.cfg.RetryMax)
	var gathered <-chan time.Time // when the short runs have waited long enough; nil: none waits
	uncertain := false
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-d.inFlight.hasDelivered:
		case <-d.deleteNow:
			all, gathered = true, nil
		case <-gathered:
			all, gathered = true, nil
		}
		var taken []*flight
		if all || !d.relay.cfg.Archive { // long runs that go first would mix up the archive's order
			taken = d.inFlight.takeDelivered(all, maxDelete)
		}
		if len(taken) == 0 {
			if gathered == nil && !all {
				gathered = time.After(gatherFor)
			}
			continue
		}
		err := d.delete(ctx, taken, uncertain)
		if db.IsLockTimeout(err) {
			if taken, err = d.deleteUnlocked(ctx, taken, lockWaits); err == nil {
				d.keepLocked(ctx, taken)
			}
		}
		uncertain = err != nil // it may have committed without our hearing of it
		if err != nil {
			d.inFlight.putBack(taken)
			if ctx.Err() != nil || d.keeper.term.Err() != nil {
				return
			}
			d.relay.health.paused(partDeletes, err)
			if !retry.Wait(ctx) {
				return
			}
		} else {
			d.relay.health.resumed(partDeletes)
			retry.Reset()
		}
		signal(d.inFlight.hasDelivered) // there may be more
	}
}

// delete removes one batch. When the database has deleted fewer rows than were named, the lease is
// checked first. If it is still held, somebody else has deleted rows, or rows hold other events
// now, and the term ends. uncertain: an earlier delete may have committed without an answer, which
// explains the missing rows as well.
func (d *deleter) delete(ctx context.Context, taken []*flight, uncertain bool) error {
	return d.deletePlanned(ctx, plan(taken), taken, uncertain)
}

func (d *deleter) deletePlanned(ctx context.Context, plan store.Deletion, taken []*flight, uncertain bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.relay.cfg.answerTimeout)
	defer cancel()
	n, err := d.deleteRows(ctx, plan, taken)
	if err != nil {
		return err
	}
	if n < int64(len(taken)) {
		// A run whose last row is gone was left alone as a whole. What is left of it goes
		// row by row, or it would be read and sent again.
		if err := d.relay.removeNamed(ctx, d.lease, places(taken)); err != nil {
			d.keeper.endIfLost(err)
			return err
		}
		if err := d.remaining(ctx, taken); err != nil {
			return err
		}
		if uncertain {
			d.readFromStart.Store(true)
		} else {
			d.relay.log.Warn("delivered rows were gone or held other events",
				"table", d.relay.store.Table(), "delivered", len(taken), "deleted", n)
			d.keeper.endIfLost(errIDsWentBack)
		}
	}
	d.inFlight.deleted(taken)
	return nil
}

// remaining fails if delivered rows are still in the table after their delete, because of a
// trigger or a policy. They must stay in flight, or they would be sent again without end.
func (d *deleter) remaining(ctx context.Context, taken []*flight) error {
	named := make(map[store.Event]bool, len(taken))
	for _, fl := range taken {
		named[fl.event()] = true
	}
	held, _, _ := d.inFlight.counts()
	n := 0
	err := d.relay.store.EventsUpTo(ctx, taken[len(taken)-1].id, held+int(d.shelved.Load())+inGaps,
		func(e store.Event) bool {
			if named[e] {
				n++
			}
			return true
		})
	if err == nil && n > 0 {
		err = fmt.Errorf("%d delivered rows of %s are still there after their delete: look for a trigger, a rule or a "+
			"row security policy that keeps them",
			n, d.relay.store.Table())
	}
	return err
}

func places(taken []*flight) []store.Delivered {
	list := make([]store.Delivered, len(taken))
	for i, fl := range taken {
		list[i] = fl.place()
	}
	return list
}

func events(taken []*flight) []store.Event {
	list := make([]store.Event, len(taken))
	for i, fl := range taken {
		list[i] = fl.event()
	}
	return list
}

// deleteRows deletes delivered rows as plan names them, or moves them into the archive.
func (d *deleter) deleteRows(ctx context.Context, plan store.Deletion, taken []*flight) (int64, error) {
	plan.Rows = places(taken)
	n, err := d.relay.store.Delete(ctx, d.lease, plan)
	if err != nil {
		d.keeper.endIfLost(err)
		err = d.relay.explainArchive(err)
	}
	return n, err
}

// removeNamed is remove for what an earlier session delivered, or remove passed over. When
// it has returned without an error, nothing of it is left on the server that granted l.
func (r *Relay) removeNamed(ctx context.Context, l store.Lease, rows []store.Delivered) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	_, err := r.store.DeleteDelivered(ctx, l, rows)
	return r.explainArchive(err)
}
