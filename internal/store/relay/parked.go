package relay

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Parked is the owner's side of the parked rows. Only the owner of the lease inserts and deletes rows
// of outbox_parked, each time in a transaction that holds the lease row locked (hazard
// unblock-race); people only change state. So:
//
//   - seq is the order of parking: rows of a key are replayed by it;
//   - a key is blocked while outbox_parked has a row of it;
//   - a row in state blocked has an earlier row of its key: whoever deletes the rows
//     before it also sets it to retry.
type Parked struct{ *conn }

// Parking asks to move a row out of outbox_events.
type Parking struct {
	Event
	Size      int64  // about; in bytes
	State     string // db.ParkedFailed, db.ParkedBlocked
	Error     string // why; cut to 4,000 bytes of UTF-8
	Overtaken bool   // later events of the key were delivered before it
}

// ParkedEvent names a parked row and the event that it must hold.
type ParkedEvent struct {
	Seq     int64
	EventID uuid.UUID
}

// ParkedRow is a row to send again. Row.ID is the id that it had in outbox_events.
type ParkedRow struct {
	Seq       int64
	Overtaken bool
	Attempts  int
	Row
}

// Park moves rows out of outbox_events in the order given, and returns how many it
// moved: a row that is gone, or whose id holds another event by now, is passed over,
// for the answer to an earlier try may have been lost. It moves some MiB in a transaction
// (see maxMoveBytes), and none after an error; ErrLeaseLost is one.
//
// A row in state blocked that nothing is parked before (the rows it waited for were
// deleted by hand) becomes retry, or nothing would ever release it.
func (s Parked) Park(ctx context.Context, l Lease, rows []Parking) (moved int64, err error) {
	for part := range moves(rows, func(p Parking) int64 { return p.Size }) {
		n, err := s.parkPart(ctx, l, part)
		if err != nil {
			return moved, err
		}
		moved += n
	}
	return moved, nil
}

func (s Parked) parkPart(ctx context.Context, l Lease, rows []Parking) (moved int64, err error) {
	err = s.fencedAgain(ctx, l, func(tx *sql.Tx) error {
		moved = 0
		var before int64
		if err := tx.QueryRowContext(ctx, s.sql.LastParked).Scan(&before); err != nil {
			return err
		}
		for rest := rows; len(rest) > 0; {
			n := fitting(rest, func(p Parking) int { return len(p.Error) })
			changed, err := s.move(ctx, tx, rest[:n])
			if err != nil {
				return err
			}
			moved, rest = moved+changed, rest[n:]
		}
		return s.releaseOrphans(ctx, tx, before, rows)
	})
	if err != nil {
		return 0, err
	}
	return moved, nil
}

// move copies and deletes rows. Where that takes two statements, both must have found the same rows, or one
// would be lost or doubled.
func (s Parked) move(ctx context.Context, tx *sql.Tx, rows []Parking) (int64, error) {
	list := parkingsJSON(rows)
	moved, err := db.Affected(tx.ExecContext(ctx, s.sql.Park, list...))
	if err != nil || s.sql.twoStep.DeleteMoved == "" {
		return moved, err
	}
	deleted, err := db.Affected(tx.ExecContext(ctx, s.sql.twoStep.DeleteMoved, list...))
	if err == nil && deleted != moved {
		err = fmt.Errorf("move rows from %s to %s: %d copied and %d deleted, so nothing was changed",
			s.names.Plain(db.Events), s.names.Plain(db.Parked), moved, deleted)
	}
	return moved, err
}

func (s Parked) releaseOrphans(ctx context.Context, tx *sql.Tx, before int64, rows []Parking) error {
	if !slices.ContainsFunc(rows, func(p Parking) bool { return p.State == db.ParkedBlocked }) {
		return nil
	}
	orphans, err := numbers(ctx, tx, s.sql.Orphans, before)
	if err != nil || len(orphans) == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, s.sql.Release, intsJSON(orphans))
	return err
}

// WaitForMoves returns when no transaction that moves rows is open any more: an earlier
// owner's, or one of ours whose answer was lost and that is still committing. Each such
// transaction holds the lease row locked. (One that moves scheduled events takes that lock
// last; it adds rows, as any writer does whose transaction is open.)
func (s Parked) WaitForMoves(ctx context.Context, l Lease) error {
	return s.Fenced(ctx, l, func(*sql.Tx) error { return nil })
}

// numbers returns the numbers of a query's one column.
func numbers(ctx context.Context, q db.Querier, query string, args ...any) ([]int64, error) {
	return db.Rows(ctx, q, func(n *int64) []any { return []any{n} }, query, args...)
}
