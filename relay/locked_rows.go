package relay

import (
	"context"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// Somebody may lock a delivered row and forget it (hazard locked-row): SELECT … FOR UPDATE in a session that
// stays open. A delete that names the row with others would wait with all of them, and
// what is delivered and not deleted would fill the bound on rows in flight. So a
// delete waits for a short time only; then it is halved until the locked rows are alone.
// These are set aside: they stay in flight, so that no read hands them out again, and in
// exactly-once mode hold the position; their delete is tried again every few seconds,
// beside the others'.

// asideWaits is how many times one search for locked rows waits for a lock, and
// lockWaitsAgain how many a later look at those that were set aside. What cannot be told
// apart then is set aside together.
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
func (d *deleter) deleteUnlocked(ctx context.Context, taken []*flight, waits int) (left []*flight, err error) {
	return avoidingLocks(taken, waits, func(part []*flight) error {
		return d.deletePlanned(ctx, store.Deletion{Events: events(part)}, part, true)
	})
}

// keepLocked keeps what deleteUnlocked left. Only the first rows are told.
func (d *deleter) keepLocked(ctx context.Context, left []*flight) {
	if len(left) == 0 || !d.inFlight.addLocked(left) {
		return
	}
	d.logLocked(ctx, len(left), left[0].id)
}

func (d *deleter) logLocked(ctx context.Context, rows int, first int64) {
	d.relay.log.Warn("delivered rows are locked by another transaction and cannot be deleted: "+
		"set aside, the others go on; end that session",
		"table", d.relay.store.Table(), "rows", rows, "first", first, "may_be_locked_by", d.lockers(ctx))
}

// lockers names the sessions that may have locked rows.
func (d *deleter) lockers(ctx context.Context) string {
	who, err := d.relay.store.LockHolders(ctx)
	if err != nil || len(who) == 0 {
		return "not known"
	}
	return strings.Join(who, "; ")
}

// retryLocked tries again what was set aside.
func (d *deleter) retryLocked(ctx context.Context) {
	for pacing.Sleep(ctx, d.relay.cfg.lockedEvery, nil) {
		rows := d.inFlight.lockedRows()
		if len(rows) == 0 {
			continue
		}
		left, err := d.deleteUnlocked(ctx, rows, lockWaitsAgain)
		if err == nil && len(left) == 0 {
			d.relay.log.Info("the rows that were locked are deleted", "table", d.relay.store.Table(), "rows", len(rows))
		}
	}
}

// adoptLeftover sets aside what an earlier session delivered and could not delete. It returns how
// many of the rows it did not have.
func (d *deleter) adoptLeftover(rows []store.Delivered) (fresh int) {
	for _, row := range rows {
		if d.inFlight.locked[row.ID] != nil {
			continue
		}
		fresh++
		fl := &flight{
			id: row.ID, eventID: row.EventID, size: row.Size, acked: true, transaction: earlierTransaction,
			placed: row.Placed, partition: row.Partition, offset: row.Offset,
		}
		d.inFlight.byID[fl.id], d.inFlight.locked[fl.id] = fl, fl
		d.inFlight.open.sent(fl)
		d.inFlight.top = max(d.inFlight.top, fl.id)
	}
	return fresh
}

// adoptLocked sets aside those of named events that are still there.
func (d *deleter) adoptLocked(ctx context.Context, named []store.Event) error {
	ctx, cancel := context.WithTimeout(ctx, d.relay.cfg.answerTimeout)
	defer cancel()
	rows, err := d.relay.store.FindEvents(ctx, named)
	if err == nil && d.adoptLeftover(rows) > 0 {
		d.logLocked(ctx, len(rows), rows[0].ID)
	}
	return err
}
