package parked

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// outboxTable is outbox_parked. Later events of their key were delivered before rows that were overtaken.
type outboxTable struct {
	*Store
	own outboxStatements
}

// Outbox returns the parked events of the installation n. It fails on names that are not valid.
func Outbox(pool *sql.DB, n db.Names) (*Store, error) {
	s, err := newStore(pool, n)
	if err != nil {
		return nil, err
	}
	o := &outboxTable{Store: s}
	s.table = table{
		name: db.Parked, scan: scanEvent,
		ofFilter: o.ofFilter, idArg: func(name string) any { return name },
		needsForce: true,
		markList:   o.markList, markFilter: o.markFilter,
	}
	return s, load("outbox", n, &s.sql, &o.own)
}

// load reads the statements of a table.
func load(folder string, n db.Names, into ...any) error {
	own, err := fs.Sub(files, folder)
	if err != nil {
		return err
	}
	return db.Load(own, n, into...)
}

func scanEvent(rows *sql.Rows) (e Entry, err error) {
	var id uuid.UUID
	var size sql.NullInt64
	err = rows.Scan(&e.Seq, &e.EventRow, &id, &e.Topic, &e.Key, &e.Type, &e.Headers, (*db.Moment)(&e.CreatedAt),
		(*db.Moment)(&e.ParkedAt), &e.Attempts, &e.Error, &e.State, &e.Overtaken, &size, &e.Payload)
	e.ID, e.PayloadSize = id.String(), sizeOf(size)
	return e, err
}

func sizeOf(payload sql.NullInt64) int64 {
	if !payload.Valid {
		return -1
	}
	return payload.Int64
}

func (o *outboxTable) ofFilter(w *where, f Filter) {
	if f.Topic != "" {
		topic := []any{f.Topic}
		w.and(o.sql.OfTopic, db.For(o.names.Dialect, topic, []any{f.Topic, len(f.Topic)}, topic)...)
	}
}

func (o *outboxTable) markList(r Request) string {
	switch {
	case r.State == db.ParkedDrop:
		return o.sql.MarkDrop
	case r.Force:
		return o.own.MarkRetryOvertaken
	}
	return o.sql.MarkRetry
}

// markAtOnce is how many rows a statement marks. The owner's transactions wait for the rows that it locks while
// they hold the lease row, so it must be short.
const markAtOnce = 5000

// markFilter marks the rows that the filter chooses, from the last one to the first. If the first rows of a key were
// dropped before the others are marked, the relay would send the others (hazard dropped-head).
func (o *outboxTable) markFilter(ctx context.Context, r Request) (marked int64, err error) {
	if err := o.noneOvertaken(ctx, r); err != nil {
		return 0, err
	}
	for below := int64(0); ; {
		w := o.byFilter(r)
		if below != 0 {
			w.and(o.sql.Before, below)
		}
		seqs, err := db.Rows(ctx, o.pool, func(seq *int64) []any { return []any{seq} },
			w.in(o.own.LastSeqs, nil), append(w.args, markAtOnce)...)
		if err != nil || len(seqs) == 0 {
			return marked, err
		}
		var n int64
		err = again(ctx, func() error {
			n, err = o.mark(ctx, o.pool, r, seqs)
			return err
		})
		if err != nil {
			return marked, fmt.Errorf("rows marked: %d; then: %w", marked, err)
		}
		marked, below = marked+n, seqs[len(seqs)-1]
	}
}

// noneOvertaken fails with an *OvertakenError if a retry without Force concerns rows that were overtaken.
func (o *outboxTable) noneOvertaken(ctx context.Context, r Request) error {
	if r.State != db.ParkedRetry || r.Force {
		return nil
	}
	w := o.byFilter(r).and(o.own.Overtaken)
	first, _, err := o.first(ctx, o.pool, w)
	if err != nil || first == 0 {
		return err
	}
	rows, err := o.count(ctx, w)
	if err != nil {
		return err
	}
	return &OvertakenError{Seq: first, Rows: rows, ByFilter: true}
}
