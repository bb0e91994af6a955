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

// gatherFor is how long short runs wait for their neighbours. A broker acknowledges by partition, so ids
// arrive with holes that close soon after. Deleting one range is much cheaper than deleting the same rows one
// by one. The wait delays no delivery. After a crash, events of that time are sent again.
const gatherFor = 50 * time.Millisecond

// run deletes the rows whose records the sink acknowledged, until ctx ends. In each round it
//
//  1. waits for an acknowledgement, and for single rows a little longer, because their neighbours may follow;
//  2. takes delivered rows from the in-flight set, which keeps them;
//  3. deletes them, fenced by the lease;
//  4. leaves out rows that another transaction has locked, and keeps those for later;
//  5. removes the deleted rows from the in-flight set, or puts them back and tries again.
func (d *deleter) run(ctx context.Context) {
	retry := pacing.NewBackoff(d.cfg.RetryMin, d.cfg.RetryMax)
	var gathered <-chan time.Time // fires when the short runs have waited long enough; nil: none waits
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
		if all || !d.cfg.Archive { // long runs that are deleted first would mix up the archive's order
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
		uncertain = err != nil // it may have committed although the answer was lost
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

// delete removes one batch. When the database has deleted fewer rows than were named, delete checks the lease
// first. If the lease is still held, somebody else has deleted rows, or rows hold other events now, and the
// term ends. uncertain means that an earlier delete may have committed without an answer. That also explains
// missing rows.
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
		// The database skips a whole run if its last row is gone. Delete the rest of such a run row by row,
		// or it would be read and sent again.
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
	err := d.store.EventsUpTo(ctx, taken[len(taken)-1].ID, held+d.shelf.Len()+maxCommittedInGaps,
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

// deleteRows deletes delivered rows as the plan names them, or moves them to the archive.
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

// Somebody may lock a delivered row and forget it (hazard locked-row), for example with SELECT … FOR UPDATE
// in a session that stays open. A delete that names this row and others would wait, and then all of these
// rows would wait. Delivered rows that are not deleted would fill the bound on rows in flight. So a delete
// waits only for a short time. After that the batch is halved, until the locked rows are alone. The locked
// rows are set aside: they stay in flight, so that no read returns them as new, and in exactly-once mode they
// hold back the position. Their delete is tried again every few seconds, beside the other deletes.

// lockWaits is how many times one search for locked rows waits for a lock. lockWaitsAgain is the same for a
// later attempt with the rows that were set aside. Rows that are not separated by then are set aside
// together.
const (
	lockWaits      = 40
	lockWaitsAgain = 8
)

// avoidingLocks calls remove for rows. When remove runs into a lock, it calls remove for each half. It
// returns the rows that are left: the locked ones, or after an error all rows for which remove did not
// succeed.
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

// deleteUnlocked deletes the rows of a batch that nobody has locked. It names them row by row, because a
// range fails as a whole. Some of them may be deleted already.
func (d *deleter) deleteUnlocked(ctx context.Context, taken []*inflight.Entry, waits int) (left []*inflight.Entry,
	err error) {
	return avoidingLocks(taken, waits, func(part []*inflight.Entry) error {
		return d.deletePlanned(ctx, store.Deletion{Events: inflight.Events(part)}, part, true)
	})
}

// keepLocked sets aside the rows that deleteUnlocked left. It logs only the first rows.
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

// retryLocked tries again to delete the rows that were set aside.
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

// adoptLocked sets aside those of the named events that are still in the table.
func (d *deleter) adoptLocked(ctx context.Context, named []store.Event) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.answerTimeout)
	defer cancel()
	rows, err := d.store.FindEvents(ctx, named)
	if err == nil && d.inFlight.Adopt(rows) > 0 {
		d.logLocked(ctx, len(rows), rows[0].ID)
	}
	return err
}
