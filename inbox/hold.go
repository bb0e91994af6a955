package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// ErrFenced: another member of the group has taken the partition over, and this one's
// transaction was rolled back. Stop handling the partition.
var ErrFenced = errors.New("another member has taken the partition over")

// errMoved: the offset is where this transaction would move it: a COMMIT without an
// answer has taken effect.
var errMoved = errors.New("the offset was moved before")

// Hold is the claim of one member of a consumer group on one partition whose offset is
// kept in the database. The last Hold of a partition is the valid one: the database
// counts them, because the generations of a Kafka group begin anew when the group
// expires. Safe for use by one goroutine at a time.
type Hold struct {
	ib        *Inbox
	topic     string
	partition int32
	epoch     int64
	next      sql.NullInt64
}

// Hold takes a partition over: every earlier Hold of it fails from now on with
// ErrFenced. It waits for a transaction that is about to commit. Call it when the group
// assigns the partition, and read on at Next.
func (ib *Inbox) Hold(ctx context.Context, db *sql.DB, topic string, partition int32) (*Hold, error) {
	fail := func(err error) (*Hold, error) {
		return nil, fmt.Errorf("inbox: hold %s/%d for %q: %w%s", topic, partition, ib.consumer, err, hint(err))
	}
	at := Position{Topic: topic, Partition: partition}
	if err := (Message{ID: "-", Position: &at}).check(); err != nil {
		return fail(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = tx.Rollback() }()
	over := ib.watch(ctx, db, &stall{}, "topic", topic, "partition", partition)
	row, err := ib.store.HoldPartition(ctx, tx, ib.consumer, topic, partition)
	over(err)
	if err != nil {
		return fail(err)
	}
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	return &Hold{ib: ib, topic: topic, partition: partition, epoch: row.Epoch, next: row.Next}, nil
}

// Next returns the offset to read on at; false: no message was handled yet.
func (h *Hold) Next() (offset int64, ok bool) { return h.next.Int64, h.next.Valid }

// Epoch is the number of times the partition was taken over, this one included.
func (h *Hold) Epoch() int64 { return h.epoch }

// handled reports whether a message lies before the offset.
func (h *Hold) handled(m Message) bool { return h.next.Valid && m.Position.Offset < h.next.Int64 }

// Skip moves the offset to next, over records that are no messages: the ends of Kafka's transactions. It
// fails with ErrFenced if another member has taken the partition over; an offset that is further
// already stays.
func (h *Hold) Skip(ctx context.Context, db *sql.DB, next int64) error {
	fail := func(err error) error {
		return fmt.Errorf("inbox: move the offset of %s/%d for %q to %d: %w%s", h.topic, h.partition, h.ib.consumer, next, err, hint(err))
	}
	moved, err := h.ib.store.MoveOffset(ctx, db, h.ib.consumer, h.topic, h.partition, h.epoch, h.known(), next, next)
	if err != nil {
		return fail(err)
	}
	if moved {
		h.next = sql.NullInt64{Int64: next, Valid: true}
		return nil
	}
	row, err := h.ib.store.ReadHold(ctx, db, h.ib.consumer, h.topic, h.partition)
	switch {
	case err != nil:
		return fail(err)
	case row.Epoch != h.epoch:
		return fail(ErrFenced)
	}
	return h.checkBack(row)
}

// known is the offset that the database had at last; -1: none.
func (h *Hold) known() int64 {
	if !h.next.Valid {
		return -1
	}
	return h.next.Int64
}

// checkBack refuses a row that says less than it said before: the database was restored to an earlier state, or has failed
// over to a copy that lags, and the messages between are to be read again.
func (h *Hold) checkBack(row dialect.InboxHold) error {
	back := &Hold{next: row.Next}
	if row.Epoch != h.epoch || back.known() >= h.known() {
		return nil
	}
	return fmt.Errorf("%w, or the database has gone back to an earlier state: consumer %q, %s/%d stood at offset %d, and stands at %d (-1: none)",
		ErrFenced, h.ib.consumer, h.topic, h.partition, h.known(), back.known())
}

// check refuses messages of another partition, and disorder.
func (h *Hold) check(ms []Message) error {
	last := int64(-1)
	for _, m := range ms {
		p := m.Position
		if p == nil || p.Topic != h.topic || p.Partition != h.partition || p.Offset <= last {
			return fmt.Errorf("%w of message %q: want rising offsets of %s/%d, which is held", ErrInvalidPosition, m.ID, h.topic, h.partition)
		}
		last = p.Offset
	}
	return nil
}

// move puts the offset behind the last of ms, in their transaction. The first of them may lie
// before it, delivered again: what counts is that nobody moved it since this Hold did.
func (h *Hold) move(ctx context.Context, tx *sql.Tx, ms []Message) error {
	first, next := ms[0].Position.Offset, ms[len(ms)-1].Position.Offset+1
	if h.next.Valid && h.next.Int64 < next {
		first = max(first, h.next.Int64)
	}
	moved, err := h.ib.store.MoveOffset(ctx, tx, h.ib.consumer, h.topic, h.partition, h.epoch, h.known(), first, next)
	if err != nil || moved {
		return err
	}
	epoch, err := h.resolve(ctx, tx)
	switch {
	case err != nil:
		return err
	case epoch == h.epoch && h.next.Valid && h.next.Int64 >= next:
		return errMoved
	}
	return fmt.Errorf("%w: consumer %q, %s/%d, epoch %d, now %d", ErrFenced, h.ib.consumer, h.topic, h.partition, h.epoch, epoch)
}

// resolve learns, after a COMMIT without an answer, whether that has moved the offset; if it is on its
// way, it waits for it. The epoch is the database's.
func (h *Hold) resolve(ctx context.Context, tx *sql.Tx) (epoch int64, err error) {
	row, err := h.ib.store.LockHold(ctx, tx, h.ib.consumer, h.topic, h.partition)
	if err == nil {
		err = h.checkBack(row)
	}
	if err == nil && row.Epoch == h.epoch {
		h.next = row.Next
	}
	return row.Epoch, err
}

// moved notes a move that is committed.
func (h *Hold) moved(ms []Message) {
	h.next = sql.NullInt64{Int64: ms[len(ms)-1].Position.Offset + 1, Valid: true}
}

// store is what the inbox needs of a database; see internal/dialect.
var _ store = (*dialect.Inbox)(nil)
