package relay

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Parked is the owner's side of the parked rows. Only the owner of the lease inserts and deletes rows of
// outbox_parked, each time in a transaction that holds the lease row locked (hazard unblock-race). People
// only change state. So:
//
//   - seq is the order of parking, and rows of a key are replayed in this order;
//   - a key is blocked while outbox_parked has a row of it;
//   - a row in state blocked has an earlier row of its key. A transaction that deletes the rows before it also
//     sets it to retry.
type Parked struct{ *conn }

// Parking is a request to move a row out of outbox_events.
type Parking struct {
	Event
	Size      int64  // in bytes, approximate
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

// Park moves rows out of outbox_events in the order given, and returns how many it moved. It skips a row that
// is gone, or whose id holds another event by now, because the answer to an earlier attempt may have been
// lost. It moves some MiB in a transaction (see maxMoveBytes), and nothing more after an error, such as
// ErrLeaseLost.
//
// A row in state blocked may have no parked row before it, because the rows for which it waited were deleted
// by hand. Such a row becomes retry, because nothing would ever release it.
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

// move copies and deletes rows. If that takes two statements, both must have found the same rows. Otherwise a
// row would be lost or duplicated.
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

// WaitForMoves returns when no transaction that moves rows is open any more. Such a transaction may be an
// earlier owner's, or one of ours whose answer was lost and that is still committing. It holds the lease row
// locked. (A transaction that moves scheduled events takes that lock last. It adds rows, like an open
// transaction of any writer.)
func (s Parked) WaitForMoves(ctx context.Context, l Lease) error {
	return s.Fenced(ctx, l, func(*sql.Tx) error { return nil })
}

// numbers returns the values of a query with one column of numbers.
func numbers(ctx context.Context, q db.Querier, query string, args ...any) ([]int64, error) {
	return db.Rows(ctx, q, func(n *int64) []any { return []any{n} }, query, args...)
}
