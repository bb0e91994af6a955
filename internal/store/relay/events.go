package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Events reads and deletes the rows of outbox_events.
type Events struct{ *conn }

// Row is a row of outbox_events.
type Row struct {
	ID        int64
	EventID   uuid.UUID
	Topic     string
	Key       []byte // nil: NULL
	Type      string
	Payload   []byte // nil: NULL
	Headers   []byte // a JSON object
	CreatedAt time.Time
}

// columns returns where to store the columns that every dialect reads in the same way. created_at follows
// them.
func (r *Row) columns() []any {
	return []any{&r.ID, &r.EventID, &r.Topic, &r.Key, &r.Type, &r.Payload, (*db.Object)(&r.Headers)}
}

// Event names a row and the event that it must hold.
type Event struct {
	ID      int64
	EventID uuid.UUID
}

// Range is a span of ids, both ends included.
type Range struct{ Lo, Hi int64 }

// ReadQuery asks for the rows whose id is in one of Gaps or above Head. Gaps ascend, do not touch one
// another, and end at or below Head.
type ReadQuery struct {
	Gaps []Range
	// Asleep lists, for each gap, the transactions (by Writer.Number) that may still commit a row into it.
	// The list is complete. The read skips a gap while its snapshot shows all of its transactions running. It
	// looks into a gap whose list is empty. If Asleep is nil, it looks into all gaps.
	Asleep [][]uint64
	Head   int64
	Limit  int // of the rows in gaps, and again of the rows above Head

	GapsOnly bool // leave out the rows above Head
}

// ReadInfo is what a read returns in addition to the rows.
type ReadInfo struct {
	// Server identifies the server and its history: it changes when another
	// server answers, or the same one after a restart or a promotion.
	Server string
	// Standby: the server is read-only and may lag behind the primary.
	Standby bool
}

// errDescending means a fault of the query planner: the statements are written so that ids ascend.
var errDescending = errors.New("the database returned rows out of order")

// SingleSnapshot reports whether Read sees one snapshot. It does not on MySQL and MariaDB, where one statement can
// return a row without an earlier committed one of the same key: a read must then be followed by a second one over
// the gaps below its highest id (hazard inconsistent-snapshot).
func (s Events) SingleSnapshot() bool { return db.For(s.names.Dialect, true, false, true) }

// Read calls visit for the rows that q asks for, in ascending order of id, until visit returns false. All
// rows come from one snapshot if SingleSnapshot says so.
//
// If the limit cuts the part of the gaps, Read does not visit the rows behind that point. A row above the
// head could otherwise overtake one of the same key in a gap that the read did not reach.
func (s Events) Read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (info ReadInfo, err error) {
	statement, args := s.dialect.read(q)
	rows, err := s.stream(ctx, statement, args...)
	if err != nil {
		return ReadInfo{}, err
	}
	defer func() { err = errors.Join(err, rows.leave()) }()
	var row Row
	into, finish := s.dialect.columns(&row)
	last, fromGaps := int64(-1), 0
	for rows.Next() {
		row.Key, row.Payload, row.Headers = nil, nil, nil
		if err := rows.Scan(into...); err != nil {
			return info, err
		}
		if row.ID <= last {
			return info, fmt.Errorf("%w: id %d after %d", errDescending, row.ID, last)
		}
		last = row.ID
		if row.ID == 0 { // the header row, whose topic and type describe the server
			info = ReadInfo{Server: row.Type, Standby: row.Topic == "standby"}
			continue
		}
		if row.ID <= q.Head {
			fromGaps++
		} else if fromGaps >= q.Limit {
			return info, nil
		}
		finish()
		if !visit(&row) {
			return info, nil
		}
	}
	return info, rows.Err()
}

// EventsUpTo calls visit for the rows with an id of at most id, in ascending order, until visit returns false
// or limit rows were visited. It reads no payloads.
func (s Events) EventsUpTo(ctx context.Context, id int64, limit int, visit func(Event) bool) error {
	err := db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var e Event
		if err := rows.Scan(&e.ID, &e.EventID); err != nil {
			return err
		}
		if !visit(e) {
			return errEnough
		}
		return nil
	}, s.sql.EventsUpTo, id, limit)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a loop over rows.
var errEnough = errors.New("the caller wants no more rows")

// Renumber gives a row of outbox_events the next id, if the row still holds that event and the lease is held.
// It locks no key, because a row whose id does not come from the sequence has no place in the order of its
// key. With ErrLeaseLost it has done nothing.
func (s Events) Renumber(ctx context.Context, l Lease, row Event) error {
	return s.Fenced(ctx, l, func(tx *sql.Tx) error {
		copied, err := db.Affected(tx.ExecContext(ctx, s.sql.CopyRow, row.ID, row.EventID.String()))
		if err != nil {
			return err
		}
		gone, err := db.Affected(tx.ExecContext(ctx, s.sql.DeleteRow, row.ID, row.EventID.String()))
		if err == nil && gone != copied {
			err = fmt.Errorf("%d rows were copied and %d deleted, so nothing was done", copied, gone)
		}
		return err
	})
}

// LockHolders names the sessions that may have locked rows of outbox_events, the most likely first. SQLite
// has none.
func (s Events) LockHolders(ctx context.Context) (who []string, err error) {
	if s.sql.server.LockHolders == "" {
		return nil, nil
	}
	args := db.For(s.names.Dialect, []any{s.names.Table(db.Events)}, nil, nil)
	return db.Rows(ctx, s.pool, func(name *string) []any { return []any{name} }, s.sql.server.LockHolders, args...)
}

// Writer is a transaction that was open at the time of the look. It may have taken an id of outbox_events and
// not committed it.
type Writer struct {
	ID string
	// Next, if not empty, is how the ID of a writer begins that may be the same transaction under another
	// name, after this one is gone.
	Next string
	// Rest, if not empty, says that the writer executes nothing now. If it is equal in two looks, the writer
	// has executed nothing in between, so it has taken no id.
	Rest string
	// Number is the transaction's number, for ReadQuery.Asleep. It is 0 if it is not known, or not assigned
	// yet.
	Number uint64
}

// Writers is one look at the open writers.
type Writers struct {
	Known bool // false: the database did not say
	Open  []Writer
	// Given is an id such that no higher id was given out before a writer was seen at rest. 0: not known.
	Given int64
}

// OpenWriters lists the transactions that may still fill a gap seen before the call.
func (s Events) OpenWriters(ctx context.Context) (Writers, error) { return s.dialect.openWriters(ctx) }
