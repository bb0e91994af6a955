package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scheduled events, the owner's side. A row of outbox_scheduled that is due moves to
// outbox_events in one transaction, as the row of a service would come there: a new id,
// under the lock of its key. It keeps the time at which it was written as created_at.
//
// Rows of a key are moved in the order of (deliver_at, seq). So a row that cannot be
// moved now holds up the later ones of its key:
//
//   - it is locked by a transaction that cancels it, and that may roll back (hazard cancel-race);
//   - its key is locked by a writer with StrictKeyOrder, whose events are not
//     committed yet. A row moved past it would be delivered first (hazard move-beside-writer).
//
// Nobody is waited for. Both kinds of holders are applications, and may take as long as
// they like; and one that holds a key's lock and then cancels an event of the same batch
// would wait for us while we wait for it. What is locked is left out, with its keys.
//
// The lease row is locked last, and not first as in Fenced (hazard paused-mover). That fences as well, for
// the transaction commits under that lock or not at all. A claim comes before the lock,
// and then the lease is found lost and everything is taken back; or it waits for the
// commit. And the lock is held for the time of a commit only. Held from the start,
// renewals would wait while payloads are copied, or while the INSERT waits for somebody
// who alters the table: one at a third of the lease for one batch, the next at two
// thirds for another, and the lease is lost. Nobody waits in a circle for it: who
// holds the lease row (renewals, claims, parking, archiving) never waits for scheduled
// rows or for the locks of keys.

const (
	// moveIdle is the longest time between two looks: how late an event is at most
	// that was scheduled for less than that ahead.
	moveIdle = time.Second
	// moveAgain is for the next batch, and for SQLite's clock, which has milliseconds.
	moveAgain = time.Millisecond
	// moveBusy is how soon rows are looked at again that somebody has locked.
	moveBusy = 50 * time.Millisecond

	// moveKeys bounds the keys in one transaction: on PostgreSQL each is an entry in the
	// server's table of locks, which has room for some thousands, for everybody.
	moveKeys = 200
	// moveRounds is how often one call looks behind rows that are locked.
	moveRounds = 5
)

// dueRow is a row that is to be moved.
type dueRow struct {
	seq       int64
	eventID   string
	key       *EventKey // nil: none
	deliverAt string    // as the database writes it
}

// MoveDue moves scheduled events that are due to outbox_events while the lease is held:
// at most limit of them, in one transaction, in the order of their times. Payloads stay
// in the server. It returns how many it moved, and when to call again, in more than 0
// and at most a second. ErrLeaseLost: nothing was moved.
//
// Rows that somebody has locked, and later ones of their keys, are passed over: see above.
func (r *Relay) MoveDue(ctx context.Context, l Lease, limit int) (moved int, next time.Duration, err error) {
	wait, err := r.untilDue(ctx)
	if err != nil || wait > 0 {
		return 0, wait, err
	}
	var locked []EventKey // whose rows were passed over
	var after *dueRow
	for range moveRounds {
		due, err := r.dueRows(ctx, limit, after, locked)
		if err != nil {
			return 0, moveBusy, err
		}
		if len(due) == 0 {
			break
		}
		moved, passed, err := r.moveRows(ctx, l, due)
		if err != nil || moved > 0 {
			return moved, moveAgain, err
		}
		// All of it is locked. What comes behind it need not wait for that.
		locked, after = append(locked, passed...), &due[len(due)-1]
	}
	return 0, moveBusy, nil
}

// untilDue is how long it is until the first row is due, at most moveIdle; 0: it is.
func (r *Relay) untilDue(ctx context.Context) (time.Duration, error) {
	var micros int64
	err := r.db.QueryRowContext(ctx, r.scheduled.until).Scan(&micros)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return moveIdle, nil
	case err != nil:
		return moveIdle, err
	case micros <= 0:
		return 0, nil
	case micros >= moveIdle.Microseconds():
		return moveIdle, nil
	}
	return max(time.Duration(micros)*time.Microsecond, moveAgain), nil
}

// dueRows lists the first due rows after one of them, in the order in which they are to
// be moved, without those of the keys to leave out. It locks nothing.
func (r *Relay) dueRows(ctx context.Context, limit int, after *dueRow, without []EventKey) (due []dueRow, err error) {
	query, args := r.dueQuery(limit, after, without)
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys := map[EventKey]bool{}
	for rows.Next() {
		var d dueRow
		var topic string
		var key sql.NullString
		if err := rows.Scan(&d.seq, &d.eventID, &topic, &key, &d.deliverAt); err != nil {
			return nil, err
		}
		if key.Valid {
			d.key = &EventKey{Topic: topic, Key: key.String}
			if keys[*d.key] = true; len(keys) > moveKeys {
				break
			}
		}
		due = append(due, d)
	}
	return due, rows.Err()
}

func (r *Relay) dueQuery(limit int, after *dueRow, without []EventKey) (string, []any) {
	var b strings.Builder
	var args []any
	param := func(v any) string {
		args = append(args, v)
		return r.names.Param(len(args))
	}
	b.WriteString(r.scheduled.due)
	if after != nil {
		fmt.Fprintf(&b, " AND deliver_at >= %s AND (deliver_at > %s OR seq > %d)",
			r.scheduled.time(param(after.deliverAt)), r.scheduled.time(param(after.deliverAt)), after.seq)
	}
	for i, k := range without {
		b.WriteString([]string{" AND (event_key IS NULL OR (topic, event_key) NOT IN (", ", "}[min(i, 1)])
		fmt.Fprintf(&b, "(%s, %s)", param(k.Topic), param(r.names.KeyArg(k.Key)))
	}
	if len(without) > 0 {
		b.WriteString("))")
	}
	fmt.Fprintf(&b, " ORDER BY deliver_at, seq LIMIT %d", limit)
	return b.String(), args
}

// errNothingFree ends a transaction in which every row was locked by others.
var errNothingFree = errors.New("all due rows are locked")

// moveRows moves the rows that are free, in one transaction, and returns how many those
// are and the keys of which rows were passed over.
func (r *Relay) moveRows(ctx context.Context, l Lease, due []dueRow) (moved int, passed []EventKey, err error) {
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		var free []int64
		var err error
		if free, passed, err = r.lockFree(ctx, tx, due); err != nil {
			return err
		}
		if len(free) == 0 {
			return errNothingFree
		}
		if err := r.copyAndDelete(ctx, tx, free); err != nil {
			return err
		}
		moved = len(free)
		return r.lockLease(ctx, tx, l)
	})
	if errors.Is(err, errNothingFree) {
		return 0, passed, nil
	}
	if err != nil {
		return 0, nil, err
	}
	return moved, passed, nil
}

// lockFree locks the rows that nobody has locked, and the keys of these that nobody has
// locked. It returns the rows of which it has both, without those that come after a row
// of the same key which it has not.
//
// The rows come first: a key is not to be locked for rows that cannot be moved.
func (r *Relay) lockFree(ctx context.Context, tx *sql.Tx, due []dueRow) (free []int64, passed []EventKey, err error) {
	query, args := r.scheduled.lock(due)
	rows, err := queryInts(ctx, tx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(rows)
	mine := func(d dueRow) bool {
		_, found := slices.BinarySearch(rows, d.seq)
		return found
	}
	busy := map[EventKey]bool{}
	var keys []EventKey
	for _, d := range due {
		switch {
		case d.key == nil || busy[*d.key]:
		case mine(d):
			keys = append(keys, *d.key)
		default:
			busy[*d.key] = true
		}
	}
	held, err := tryLockKeys(ctx, tx, r.names, keys)
	if err != nil {
		return nil, nil, err
	}
	clear(busy)
	for _, d := range due {
		switch {
		case d.key != nil && busy[*d.key]:
		case mine(d) && (d.key == nil || held(*d.key)):
			free = append(free, d.seq)
		case d.key != nil:
			busy[*d.key] = true
			passed = append(passed, *d.key)
		}
	}
	return free, passed, nil
}

// copyAndDelete changes as many rows by both statements, or a row would be lost or doubled.
func (r *Relay) copyAndDelete(ctx context.Context, tx *sql.Tx, seqs []int64) error {
	statements, args := r.moveStatements(seqs)
	var counts [2]int64
	for i, statement := range statements {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		if counts[i], err = result.RowsAffected(); err != nil {
			return err
		}
	}
	if n := int64(len(seqs)); counts[0] != n || counts[1] != n {
		return fmt.Errorf("move %d scheduled events from %s to %s: %d copied and %d deleted, so nothing was changed: look for a trigger, a rule or a row security policy",
			n, r.names.Plain(Scheduled), r.names.Plain(Events), counts[0], counts[1])
	}
	return nil
}

func (r *Relay) moveStatements(seqs []int64) (statements []string, args []any) {
	from, args := r.scheduled.named(seqs)
	deletion := "DELETE"
	if r.names.Dialect == MySQL {
		deletion = "DELETE s" // of the tables that it joins
	}
	return []string{
		r.names.Expand("INSERT INTO {outbox_events} (" + movedColumns + ")\nSELECT " + movedColumns + from + " ORDER BY deliver_at, seq"),
		r.names.Expand(deletion + from),
	}, args
}

const movedColumns = "event_id, topic, event_key, event_type, payload, headers, created_at"
