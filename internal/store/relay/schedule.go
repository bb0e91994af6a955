package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Schedule is the owner's side of the scheduled events. One transaction moves due rows of outbox_scheduled to
// outbox_events. There each row gets a new id, under the lock of its key, like a new row of a service.
// created_at stays the time at which the row was written.
//
// Rows of a key are moved in the order of (deliver_at, seq). So a row that cannot be moved now delays the
// later rows of its key. There are two reasons why it cannot:
//
//   - A transaction that cancels the event has locked the row, and may roll back (hazard cancel-race).
//   - A writer with StrictKeyOrder has locked the key, and its events are not committed yet. If the row
//     moved now, it would be delivered before them (hazard move-beside-writer).
//
// The move waits for neither. Both are applications, which may hold a lock for any time. There is also a
// deadlock to avoid: an application may hold a key's lock and then cancel an event of the same batch. It
// would wait for the move, while the move waits for it. So the move leaves out the locked rows and keys, and
// all rows of these keys.
//
// The transaction locks the lease row last, and not first as Fenced does (hazard paused-mover). That fences
// as well, because the transaction commits only under that lock. If another relay claims the lease before the
// lock, the transaction finds the lease lost and rolls back. If it claims afterwards, it waits for the
// commit. Because the lease row is locked last, it is locked only for as long as a commit takes. If it were
// locked first, renewals would wait while payloads are copied, or while the INSERT waits for a session that
// alters the table. Two such waits may cost the lease. There is no deadlock: transactions that hold the lease
// row (renewals, claims, parking, archiving) never wait for scheduled rows or for the locks of keys.
type Schedule struct{ *conn }

const (
	// moveIdle is the longest pause. An event that is scheduled less than this far ahead may be late by as
	// much.
	moveIdle = time.Second
	// moveAgain is the pause before the next batch. It is not 0 because SQLite's clock has milliseconds.
	moveAgain = time.Millisecond
	// moveBusy is the pause when all due rows are locked.
	moveBusy = 50 * time.Millisecond

	// moveKeys bounds the keys in one transaction. On PostgreSQL each key is an entry in the server's lock
	// table, which has room for some thousands of entries of all sessions.
	moveKeys = 200
	// moveRounds is how many times one call looks behind rows that are locked.
	moveRounds = 5
)

// dueRow is a row that should be moved.
type dueRow struct {
	seq       int64
	eventID   string
	key       *db.EventKey // nil: none
	deliverAt string       // as the database writes it
}

// MoveDue moves due scheduled events to outbox_events while the lease is held. It moves at most limit of
// them, in one transaction, in the order of their times. Payloads stay in the server. It returns how many
// events it moved, and when to call again: after more than 0 and at most a second. With ErrLeaseLost it has
// moved nothing.
//
// It skips rows that somebody has locked, and later rows of their keys: see above.
func (s Schedule) MoveDue(ctx context.Context, l Lease, limit int) (moved int, next time.Duration, err error) {
	wait, err := s.untilDue(ctx)
	if err != nil || wait > 0 {
		return 0, wait, err
	}
	var locked []db.EventKey // keys whose rows were skipped
	var after *dueRow
	for range moveRounds {
		due, err := s.dueRows(ctx, limit, after, locked)
		if err != nil {
			return 0, moveBusy, err
		}
		if len(due) == 0 {
			break
		}
		moved, passed, err := s.moveRows(ctx, l, due)
		if err != nil || moved > 0 {
			return moved, moveAgain, err
		}
		// All of these rows are locked. The rows behind them need not wait for that.
		locked, after = append(locked, passed...), &due[len(due)-1]
	}
	return 0, moveBusy, nil
}

// untilDue returns the time until the first row is due, at most moveIdle. 0: a row is due.
func (s Schedule) untilDue(ctx context.Context) (time.Duration, error) {
	var micros int64
	err := s.pool.QueryRowContext(ctx, s.sql.UntilDue).Scan(&micros)
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

// dueRows lists the first due rows after a given row, in the order in which they are to be moved. It leaves
// out the rows of the keys in without. It locks nothing.
func (s Schedule) dueRows(ctx context.Context, limit int, after *dueRow, without []db.EventKey) (
	due []dueRow, err error) {
	query, args := s.dueQuery(limit, after, without)
	keys := map[db.EventKey]bool{}
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var d dueRow
		var topic string
		var key sql.NullString
		if err := rows.Scan(&d.seq, &d.eventID, &topic, &key, &d.deliverAt); err != nil {
			return err
		}
		if key.Valid {
			d.key = &db.EventKey{Topic: topic, Key: key.String}
			if keys[*d.key] = true; len(keys) > moveKeys {
				return errEnough
			}
		}
		due = append(due, d)
		return nil
	}, query, args...)
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return due, nil
}

func (s Schedule) dueQuery(limit int, after *dueRow, without []db.EventKey) (string, []any) {
	var b strings.Builder
	var args []any
	param := func(v any) string {
		args = append(args, v)
		return s.names.Param(len(args))
	}
	b.WriteString(s.sql.DueRows)
	if after != nil {
		// The time was read as text.
		cast := db.For(s.names.Dialect, "::text::timestamptz", "", "")
		fmt.Fprintf(&b, " AND deliver_at >= %s%s AND (deliver_at > %s%s OR seq > %d)",
			param(after.deliverAt), cast, param(after.deliverAt), cast, after.seq)
	}
	for i, k := range without {
		b.WriteString([]string{" AND (event_key IS NULL OR (topic, event_key) NOT IN (", ", "}[min(i, 1)])
		fmt.Fprintf(&b, "(%s, %s)", param(k.Topic), param(s.names.KeyArg(k.Key)))
	}
	if len(without) > 0 {
		b.WriteString("))")
	}
	fmt.Fprintf(&b, " ORDER BY deliver_at, seq LIMIT %d", limit)
	return b.String(), args
}

// errNothingFree ends a transaction if other transactions have locked every row.
var errNothingFree = errors.New("all due rows are locked")

// moveRows moves the free rows in one transaction. It returns their number, and the keys of the rows that it
// skipped.
func (s Schedule) moveRows(ctx context.Context, l Lease, due []dueRow) (moved int, passed []db.EventKey, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var free []int64
		var err error
		if free, passed, err = s.lockFree(ctx, tx, due); err != nil {
			return err
		}
		if len(free) == 0 {
			return errNothingFree
		}
		if err := s.copyAndDelete(ctx, tx, free); err != nil {
			return err
		}
		moved = len(free)
		return s.checkLease(ctx, tx, l, s.sql.LockLease)
	})
	if errors.Is(err, errNothingFree) {
		return 0, passed, nil
	}
	if err != nil {
		return 0, nil, err
	}
	return moved, passed, nil
}

// lockFree locks the rows that nobody has locked, and those keys of these rows that nobody has locked. It
// returns the rows for which it has both locks. It leaves out rows behind a row of the same key for which it
// has not.
//
// It locks the rows first, so that it locks no key for rows that cannot be moved.
func (s Schedule) lockFree(ctx context.Context, tx *sql.Tx, due []dueRow) (
	free []int64, passed []db.EventKey, err error) {
	query, args := s.lockDue(due)
	rows, err := numbers(ctx, tx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(rows)
	mine := func(d dueRow) bool {
		_, found := slices.BinarySearch(rows, d.seq)
		return found
	}
	busy := map[db.EventKey]bool{}
	var keys []db.EventKey
	for _, d := range due {
		switch {
		case d.key == nil || busy[*d.key]:
		case mine(d):
			keys = append(keys, *d.key)
		default:
			busy[*d.key] = true
		}
	}
	held, err := s.tryLockKeys(ctx, tx, keys)
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

// lockDue returns the statement that locks the due rows that are free.
func (s Schedule) lockDue(due []dueRow) (string, []any) {
	ids, seqs := make([]string, len(due)), make([]int64, len(due))
	for i, d := range due {
		ids[i], seqs[i] = d.eventID, d.seq
	}
	return db.Fill(s.sql.LockDue, db.Values{"event_ids": db.SQL(strings.Join(ids, `", "`))}), s.seqArgs(seqs)
}

// seqArgs returns the arguments of a statement that names rows. On MySQL the statement's text has the
// numbers.
func (s Schedule) seqArgs(seqs []int64) []any {
	return db.For(s.names.Dialect, []any{"{" + db.Ints(seqs) + "}"}, nil, []any{intsJSON(seqs)})
}

// copyAndDelete fails if its two statements change different numbers of rows, because a row would be lost or
// duplicated.
func (s Schedule) copyAndDelete(ctx context.Context, tx *sql.Tx, seqs []int64) error {
	statements, args := s.moveStatements(seqs)
	var counts [2]int64
	for i, statement := range statements {
		var err error
		if counts[i], err = db.Affected(tx.ExecContext(ctx, statement, args...)); err != nil {
			return err
		}
	}
	if n := int64(len(seqs)); counts[0] != n || counts[1] != n {
		return fmt.Errorf("move %d scheduled events from %s to %s: %d copied and %d deleted, so nothing was changed: "+
			"look for a trigger, a rule or a row security policy",
			n, s.names.Plain(db.Scheduled), s.names.Plain(db.Events), counts[0], counts[1])
	}
	return nil
}

func (s Schedule) moveStatements(seqs []int64) ([]string, []any) {
	values := db.Values{"seqs": seqs}
	return []string{db.Fill(s.sql.CopyDue, values), db.Fill(s.sql.DeleteDue, values)}, s.seqArgs(seqs)
}

// tryLockKeys takes the locks of keys that are free, without waiting, and reports which locks it has. SQLite
// needs no such locks, because only one transaction writes at a time.
func (s Schedule) tryLockKeys(ctx context.Context, tx *sql.Tx, keys []db.EventKey) (func(db.EventKey) bool, error) {
	if s.sql.server.TryLockKeys == "" || len(keys) == 0 {
		return func(db.EventKey) bool { return true }, nil
	}
	wanted := s.names.LockNumbers(keys)
	args := db.For(s.names.Dialect, []any{"{" + db.Ints(wanted) + "}"}, nil, nil)
	locked, err := numbers(ctx, tx, db.Fill(s.sql.server.TryLockKeys, db.Values{"numbers": wanted}), args...)
	if err != nil {
		return nil, err
	}
	slices.Sort(locked)
	return func(k db.EventKey) bool {
		_, found := slices.BinarySearch(locked, s.names.LockNumber(k))
		return found
	}, nil
}
