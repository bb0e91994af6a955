package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// deleter removes delivered rows from outbox_events, or moves them to the archive. It runs
// beside the reader.
type deleter struct {
	part
	store interface {
		reads
		deletes
	}
	shelf *lanes.Shelf

	deleteNow     chan struct{} // asks for a delete at once, without waiting for more rows
	readFromStart atomic.Bool   // asks the reader to start over: the outcome of a delete is not known
}

func newDeleter(p part, st database, shelf *lanes.Shelf) *deleter {
	return &deleter{part: p, store: st, shelf: shelf, deleteNow: make(chan struct{}, 1)}
}

// gatherFor is how long short runs wait for their neighbours. A broker acknowledges by
// partition, so ids arrive with holes that close soon after, and a range is much cheaper to
// delete than as many single rows. The wait delays no delivery. After a crash, events of that
// time are sent again.
const gatherFor = 50 * time.Millisecond

// run deletes the rows whose records the sink acknowledged, until ctx ends. Each time it
//
//  1. waits for an acknowledgement, and for single rows a little longer: their neighbours may follow;
//  2. takes delivered rows from the in-flight set, which keeps them;
//  3. deletes them, fenced by the lease;
//  4. goes around rows that another transaction has locked, and keeps those for later;
//  5. has the in-flight set forget the deleted rows, or puts them back and tries again.
func (d *deleter) run(ctx context.Context) {
	retry := pacing.NewBackoff(d.cfg.RetryMin, d.cfg.RetryMax)
	var gathered <-chan time.Time // when the short runs have waited long enough; nil: none waits
	uncertain := false
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-d.inFlight.HasDelivered:
		case <-d.deleteNow:
			all, gathered = true, nil
		case <-gathered:
			all, gathered = true, nil
		}
		var taken []*inflight.Entry
		if all || !d.cfg.Archive { // long runs that go first would mix up the archive's order
			taken = d.inFlight.TakeDelivered(all, inflight.MaxDelete)
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
			d.inFlight.PutBack(taken)
			if ctx.Err() != nil || d.term.active.Err() != nil {
				return
			}
			d.health.Paused(health.Deletes, err)
			if !retry.Wait(ctx) {
				return
			}
		} else {
			d.health.Resumed(health.Deletes)
			retry.Reset()
		}
		pacing.Signal(d.inFlight.HasDelivered) // there may be more
	}
}

// delete removes one batch. When the database has deleted fewer rows than were named, the lease is
// checked first. If it is still held, somebody else has deleted rows, or rows hold other events
// now, and the term ends. uncertain: an earlier delete may have committed without an answer, which
// explains the missing rows as well.
func (d *deleter) delete(ctx context.Context, taken []*inflight.Entry, uncertain bool) error {
	return d.deletePlanned(ctx, inflight.Plan(taken), taken, uncertain)
}

func (d *deleter) deletePlanned(ctx context.Context, plan store.Deletion, taken []*inflight.Entry,
	uncertain bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.answerTimeout)
	defer cancel()
	n, err := d.deleteRows(ctx, plan, taken)
	if err != nil {
		return err
	}
	if n < int64(len(taken)) {
		// A run whose last row is gone was left alone as a whole. What is left of it goes
		// row by row, or it would be read and sent again.
		if err := d.deleteNamed(ctx, d.store, inflight.Delivered(taken)); err != nil {
			d.term.endIfLost(err)
			return err
		}
		if err := d.remaining(ctx, taken); err != nil {
			return err
		}
		if uncertain {
			d.readFromStart.Store(true)
		} else {
			d.log.Warn("delivered rows were gone or held other events",
				"table", d.table, "delivered", len(taken), "deleted", n)
			d.term.endIfLost(errIDsWentBack)
		}
	}
	d.inFlight.Deleted(taken)
	return nil
}

// remaining fails if delivered rows are still in the table after their delete, because of a
// trigger or a policy. They must stay in flight, or they would be sent again without end.
func (d *deleter) remaining(ctx context.Context, taken []*inflight.Entry) error {
	named := make(map[store.Event]bool, len(taken))
	for _, e := range taken {
		named[e.Event()] = true
	}
	held, _, _ := d.inFlight.Counts()
	n := 0
	err := d.store.EventsUpTo(ctx, taken[len(taken)-1].ID, held+d.shelf.Len()+inGaps,
		func(e store.Event) bool {
			if named[e] {
				n++
			}
			return true
		})
	if err == nil && n > 0 {
		err = fmt.Errorf("%d delivered rows of %s are still there after their delete: look for a trigger, a rule or a "+
			"row security policy that keeps them",
			n, d.table)
	}
	return err
}

// deleteRows deletes delivered rows as plan names them, or moves them into the archive.
func (d *deleter) deleteRows(ctx context.Context, plan store.Deletion, taken []*inflight.Entry) (int64, error) {
	if d.cfg.Archive {
		plan.Rows = inflight.Delivered(taken)
	}
	n, err := d.store.Delete(ctx, d.term.lease, plan)
	if err != nil {
		d.term.endIfLost(err)
		err = explainArchive(d.cfg, err)
	}
	return n, err
}

// Somebody may lock a delivered row and forget it (hazard locked-row): SELECT … FOR UPDATE in a session that
// stays open. A delete that names the row with others would wait with all of them, and
// what is delivered and not deleted would fill the bound on rows in flight. So a
// delete waits for a short time only; then it is halved until the locked rows are alone.
// These are set aside: they stay in flight, so that no read hands them out again, and in
// exactly-once mode hold the position; their delete is tried again every few seconds,
// beside the others'.

// lockWaits is how many times one search for locked rows waits for a lock, and
// lockWaitsAgain how many a later look at those that were set aside. What is not yet
// separated then is set aside together.
const (
	lockWaits      = 40
	lockWaitsAgain = 8
)

// avoidingLocks calls remove for rows, and where that runs into a lock, for the halves. It returns
// the rows that are still there: those locked, or with an error all whose remove did
// not succeed.
func avoidingLocks[T any](rows []T, waits int, remove func([]T) error) (left []T, err error) {
	for parts := [][]T{rows}; len(parts) > 0; {
		part := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		err := remove(part)
		switch {
		case err == nil:
		case !db.IsLockTimeout(err):
			return slices.Concat(append(parts, left, part)...), err
		case len(part) == 1 || waits == 0:
			left = append(left, part...)
		default:
			waits--
			half := len(part) / 2
			parts = append(parts, part[half:], part[:half])
		}
	}
	return left, nil
}

// deleteUnlocked deletes of a batch what nobody has locked, row by row: a range fails as a
// whole. Part of it may be gone already.
func (d *deleter) deleteUnlocked(ctx context.Context, taken []*inflight.Entry, waits int) (left []*inflight.Entry,
	err error) {
	return avoidingLocks(taken, waits, func(part []*inflight.Entry) error {
		return d.deletePlanned(ctx, store.Deletion{Events: inflight.Events(part)}, part, true)
	})
}

// keepLocked keeps what deleteUnlocked left. Only the first rows are logged.
func (d *deleter) keepLocked(ctx context.Context, left []*inflight.Entry) {
	if len(left) == 0 || !d.inFlight.SetLocked(left) {
		return
	}
	d.logLocked(ctx, len(left), left[0].ID)
}

func (d *deleter) logLocked(ctx context.Context, rows int, first int64) {
	d.log.Warn("delivered rows are locked by another transaction and cannot be deleted: "+
		"set aside, the others go on; end that session",
		"table", d.table, "rows", rows, "first", first, "may_be_locked_by", d.lockers(ctx))
}

// lockers names the sessions that may have locked rows.
func (d *deleter) lockers(ctx context.Context) string {
	who, err := d.store.LockHolders(ctx)
	if err != nil || len(who) == 0 {
		return "not known"
	}
	return strings.Join(who, "; ")
}

// retryLocked tries again what was set aside.
func (d *deleter) retryLocked(ctx context.Context) {
	for pacing.Sleep(ctx, d.cfg.lockedEvery, nil) {
		rows := d.inFlight.Locked()
		if len(rows) == 0 {
			continue
		}
		left, err := d.deleteUnlocked(ctx, rows, lockWaitsAgain)
		if err == nil && len(left) == 0 {
			d.log.Info("the rows that were locked are deleted", "table", d.table, "rows", len(rows))
		}
	}
}

// adoptLocked sets aside those of named events that are still there.
func (d *deleter) adoptLocked(ctx context.Context, named []store.Event) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.answerTimeout)
	defer cancel()
	rows, err := d.store.FindEvents(ctx, named)
	if err == nil && d.inFlight.Adopt(rows) > 0 {
		d.logLocked(ctx, len(rows), rows[0].ID)
	}
	return err
}
