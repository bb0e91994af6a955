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

// PartitionClaim is the claim of one member of a consumer group on one partition whose offset is
// kept in the database. The latest claim of a partition is the valid one. The database counts the
// claims (Epoch), because Kafka's own count, the group's generation, starts again at 1 when the group
// expires. Safe for use by one goroutine at a time.
type PartitionClaim struct {
	ib        *Inbox
	topic     string
	partition int32
	epoch     int64
	next      sql.NullInt64
}

// ClaimPartition takes a partition over: every earlier claim of it fails from now on with
// ErrFenced. It waits for a transaction that is about to commit. Call it when the group
// assigns the partition, and continue to read at Next.
func (ib *Inbox) ClaimPartition(
	ctx context.Context, db *sql.DB, topic string, partition int32,
) (*PartitionClaim, error) {
	fail := func(err error) (*PartitionClaim, error) {
		return nil, fmt.Errorf("inbox: claim %s/%d for %q: %w%s", topic, partition, ib.consumer, err, hint(err))
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
	return &PartitionClaim{ib: ib, topic: topic, partition: partition, epoch: row.Epoch, next: row.Next}, nil
}

// Next returns the offset to read on at; false: no message was handled yet.
func (c *PartitionClaim) Next() (offset int64, ok bool) { return c.next.Int64, c.next.Valid }

// Epoch is the number of times the partition was taken over, this one included.
func (c *PartitionClaim) Epoch() int64 { return c.epoch }

// handled reports whether a message lies before the offset.
func (c *PartitionClaim) handled(m Message) bool {
	return c.next.Valid && m.Position.Offset < c.next.Int64
}

// Skip moves the offset to next, over records that are no messages: the ends of Kafka's transactions. It
// fails with ErrFenced if another member has taken the partition over; an offset that is further
// already stays.
func (c *PartitionClaim) Skip(ctx context.Context, db *sql.DB, next int64) error {
	fail := func(err error) error {
		return fmt.Errorf("inbox: move the offset of %s/%d for %q to %d: %w%s", c.topic, c.partition, c.ib.consumer, next, err, hint(err))
	}
	moved, err := c.ib.store.MoveOffset(ctx, db, c.ib.consumer, c.topic, c.partition, c.epoch, c.known(), next, next)
	if err != nil {
		return fail(err)
	}
	if moved {
		c.next = sql.NullInt64{Int64: next, Valid: true}
		return nil
	}
	row, err := c.ib.store.ReadHold(ctx, db, c.ib.consumer, c.topic, c.partition)
	switch {
	case err != nil:
		return fail(err)
	case row.Epoch != c.epoch:
		return fail(ErrFenced)
	}
	return c.checkBack(row)
}

// known is the offset that the database had at last; -1: none.
func (c *PartitionClaim) known() int64 {
	if !c.next.Valid {
		return -1
	}
	return c.next.Int64
}

// checkBack refuses a row that says less than it said before: the database was restored to an earlier state, or has failed
// over to a copy that lags, and the messages between are to be read again.
func (c *PartitionClaim) checkBack(row dialect.InboxHold) error {
	back := &PartitionClaim{next: row.Next}
	if row.Epoch != c.epoch || back.known() >= c.known() {
		return nil
	}
	return fmt.Errorf("%w, or the database has gone back to an earlier state: consumer %q, %s/%d stood at offset %d, and stands at %d (-1: none)",
		ErrFenced, c.ib.consumer, c.topic, c.partition, c.known(), back.known())
}

// check refuses messages of another partition, and disorder.
func (c *PartitionClaim) check(ms []Message) error {
	last := int64(-1)
	for _, m := range ms {
		p := m.Position
		if p == nil || p.Topic != c.topic || p.Partition != c.partition || p.Offset <= last {
			return fmt.Errorf("%w of message %q: want rising offsets of %s/%d, the claimed partition", ErrInvalidPosition, m.ID, c.topic, c.partition)
		}
		last = p.Offset
	}
	return nil
}

// move puts the offset behind the last of ms, in their transaction. The first of them may lie
// before it, delivered again: what counts is that nobody moved it since this claim did.
func (c *PartitionClaim) move(ctx context.Context, tx *sql.Tx, ms []Message) error {
	first, next := ms[0].Position.Offset, ms[len(ms)-1].Position.Offset+1
	if c.next.Valid && c.next.Int64 < next {
		first = max(first, c.next.Int64)
	}
	moved, err := c.ib.store.MoveOffset(ctx, tx, c.ib.consumer, c.topic, c.partition, c.epoch, c.known(), first, next)
	if err != nil || moved {
		return err
	}
	epoch, err := c.resolve(ctx, tx)
	switch {
	case err != nil:
		return err
	case epoch == c.epoch && c.next.Valid && c.next.Int64 >= next:
		return errMoved
	}
	return fmt.Errorf("%w: consumer %q, %s/%d, epoch %d, now %d", ErrFenced, c.ib.consumer, c.topic, c.partition, c.epoch, epoch)
}

// resolve learns, after a COMMIT without an answer, whether that has moved the offset; if it is on its
// way, it waits for it. The epoch is the database's.
func (c *PartitionClaim) resolve(ctx context.Context, tx *sql.Tx) (epoch int64, err error) {
	row, err := c.ib.store.LockHold(ctx, tx, c.ib.consumer, c.topic, c.partition)
	if err == nil {
		err = c.checkBack(row)
	}
	if err == nil && row.Epoch == c.epoch {
		c.next = row.Next
	}
	return row.Epoch, err
}

// moved notes a move that is committed.
func (c *PartitionClaim) moved(ms []Message) {
	c.next = sql.NullInt64{Int64: ms[len(ms)-1].Position.Offset + 1, Valid: true}
}

// store is what the inbox needs of a database; see internal/dialect.
var _ store = (*dialect.Inbox)(nil)
