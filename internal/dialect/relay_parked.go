package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Parked rows, the owner's side. Only the owner of the lease inserts and deletes rows
// of outbox_parked, each time in a transaction that holds the lease row locked (hazard
// unblock-race); people only change state. So:
//
//   - seq is the order of parking: rows of a key are replayed by it;
//   - a key is blocked while outbox_parked has a row of it;
//   - a row in state blocked has an earlier row of its key: whoever deletes the rows
//     before it also sets it to retry.

// States of a parked row.
const (
	ParkFailed  = "failed"  // the sink refused it
	ParkBlocked = "blocked" // waits behind an earlier row of its key
	ParkRetry   = "retry"   // to be sent again
	ParkDrop    = "drop"    // to be deleted unsent
)

// maxParkError is the longest error that is kept, in bytes.
const maxParkError = 4000

// Parking asks to move a row out of outbox_events.
type Parking struct {
	Event
	Size      int64  // about; in bytes
	State     string // ParkFailed, ParkBlocked
	Error     string // why; cut to 4,000 bytes of UTF-8
	Overtaken bool   // later events of the key were delivered before it
}

// ParkedEvent names a parked row and the event that it must hold.
type ParkedEvent struct {
	Seq     int64
	EventID uuid.UUID
}

// Refusal says that a row was refused again.
type Refusal struct {
	ParkedEvent
	Reason    string // cut as Parking.Error is
	Overtaken bool   // later events of its key were delivered meanwhile
}

// ParkedRow is a row to send again. Row.ID is the id that it had in outbox_events.
type ParkedRow struct {
	Seq       int64
	Overtaken bool
	Attempts  int
	Row
}

// Dropped is a row that an operator gave up.
type Dropped struct {
	Seq int64
	Event
	Topic string
	Key   []byte // nil: NULL
}

// parkedSQL has one dialect's statements over outbox_parked. Lists travel as JSON, so
// that a statement is the same for any number of rows.
type parkedSQL struct {
	blocked string   // topic, key, seq, limit; see blockedArgs
	move    []string // [[id, event_id, state, error, overtaken], …]; each must change as many rows
	orphans string   // after seq: blocked rows without a row before them
	sent    string   // after seq, to seq, lowest id, highest id

	candidates string // after seq, limit
	turns      string // [seq, …]: for each the first row of its key in another state than retry
	replay     string // [seq, …], ascending
	scan       func(rows *sql.Rows, p *ParkedRow) error

	keys, remove string // [[seq, event_id], …]
	heads        func(ctx context.Context, q reader, keys []EventKey) ([]parkedHead, error)
	followers    func(ctx context.Context, tx *sql.Tx, heads []parkedHead, most int) ([]int64, error)
	release      string // [seq, …]
	overtake     string // [seq, …]

	refuse, block string // [[seq, event_id, reason, overtaken], …]

	dropped string // limit
	record  string // [seq, …]
}

// parkedHead is the first row of a key.
type parkedHead struct {
	key   EventKey
	seq   int64 // 0: none
	state string
}

// Asked reports whether any row is to be sent again or dropped: one look into an
// index (with tables of version 2, which lack it, a scan of the parked rows).
func (r *Relay) Asked(ctx context.Context) (asked bool, err error) {
	err = r.db.QueryRowContext(ctx, r.names.Expand(askedParked)).Scan(&asked)
	return asked, err
}

// The term is that of the partial index.
const askedParked = "SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop'))"

// parkingRights fails if the user may not move rows to outbox_parked and back. No row
// has the id 0.
func (r *Relay) parkingRights(ctx context.Context) error {
	for _, statement := range []string{
		`INSERT INTO {outbox_parked} (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM {outbox_events} WHERE id = 0`,
		"UPDATE {outbox_parked} SET attempts = attempts WHERE seq = 0",
		"DELETE FROM {outbox_parked} WHERE seq = 0",
	} {
		if _, err := r.db.ExecContext(ctx, r.names.Expand(statement)); err != nil {
			return fmt.Errorf("may this user park? %w", err)
		}
	}
	return nil
}

// Park moves rows out of outbox_events in the order given, and returns how many it
// moved: a row that is gone, or whose id holds another event by now, is passed over,
// for the answer to an earlier try may have been lost. It moves some MiB in a transaction
// (see maxMoveBytes), and none after an error; ErrLeaseLost is one.
//
// A row in state blocked that nothing is parked before (the rows it waited for were
// deleted by hand) becomes retry, or nothing would ever release it.
func (r *Relay) Park(ctx context.Context, l Lease, rows []Parking) (moved int64, err error) {
	for part := range moves(rows, func(p Parking) int64 { return p.Size }) {
		n, err := r.parkPart(ctx, l, part)
		if err != nil {
			return moved, err
		}
		moved += n
	}
	return moved, nil
}

func (r *Relay) parkPart(ctx context.Context, l Lease, rows []Parking) (moved int64, err error) {
	err = r.fenced(ctx, l, func(tx *sql.Tx) error {
		moved = 0
		var before int64
		q := r.names.Expand("SELECT COALESCE(MAX(seq), 0) FROM {outbox_parked}")
		if err := tx.QueryRowContext(ctx, q).Scan(&before); err != nil {
			return err
		}
		for rest := rows; len(rest) > 0; {
			n := fitting(rest, func(p Parking) int { return len(p.Error) })
			changed, err := r.move(ctx, tx, rest[:n])
			if err != nil {
				return err
			}
			moved, rest = moved+changed, rest[n:]
		}
		return r.releaseOrphans(ctx, tx, before, rows)
	})
	if err != nil {
		return 0, err
	}
	return moved, nil
}

// move runs the dialect's statements over the same list. Where moving takes two, an
// INSERT and a DELETE, both must have found the same rows, or one would be lost or doubled.
func (r *Relay) move(ctx context.Context, tx *sql.Tx, rows []Parking) (moved int64, err error) {
	list, err := parkingsJSON(rows)
	if err != nil {
		return 0, err
	}
	for i, statement := range r.parked.move {
		result, err := tx.ExecContext(ctx, statement, list)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		if i > 0 && n != moved {
			return 0, fmt.Errorf("move rows from %s to %s: %d copied and %d deleted, so nothing was changed",
				r.names.Plain(Events), r.names.Plain(Parked), moved, n)
		}
		moved = n
	}
	return moved, nil
}

func (r *Relay) releaseOrphans(ctx context.Context, tx *sql.Tx, before int64, rows []Parking) error {
	waits := false
	for _, p := range rows {
		waits = waits || p.State == ParkBlocked
	}
	if !waits {
		return nil
	}
	orphans, err := queryInts(ctx, tx, r.parked.orphans, before)
	if err != nil || len(orphans) == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, r.parked.release, intsJSON(orphans))
	return err
}

// fenced is Fenced, again where somebody changed the state of the same rows meanwhile.
func (r *Relay) fenced(ctx context.Context, l Lease, change func(*sql.Tx) error) error {
	return again(ctx, func() error { return r.Fenced(ctx, l, change) })
}

// again runs a transaction some times more when the database ended it because of
// another one.
func again(ctx context.Context, transaction func() error) error {
	const tries = 4
	var err error
	for range tries {
		if err = transaction(); err == nil || !IsSerialization(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// keptError is what outbox_parked keeps of an error: valid UTF-8 without NUL, which
// PostgreSQL does not store, and not longer than a screen.
func keptError(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxParkError {
		return s
	}
	s = s[:maxParkError]
	for len(s) > 0 {
		if last, size := utf8.DecodeLastRuneInString(s); last != utf8.RuneError || size > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}
