package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// ErrFenced means: another member of the group has claimed the partition, and the transaction of this member was
// rolled back. Stop handling the partition.
var ErrFenced = errors.New("another member has claimed the partition")

// errMoved means: the offset already is where this transaction would move it. A COMMIT without an answer has taken
// effect.
var errMoved = errors.New("the offset was moved before")

// partitionClaims is what offsets that are kept beside the data need of a database.
type partitionClaims interface {
	// ClaimPartition raises the epoch of a partition, and with it ends every earlier claim.
	ClaimPartition(ctx context.Context, tx db.Queryer, consumer, topic string, partition int32) (store.Claim, error)
	ReadClaim(ctx context.Context, q db.Queryer, consumer, topic string, partition int32) (store.Claim, error)
	// LockClaim locks and reads the row, after any COMMIT that is on its way.
	LockClaim(ctx context.Context, tx db.Queryer, consumer, topic string, partition int32) (store.Claim, error)
	// MoveOffset reports whether it moved the offset: the claim is valid, and the offset was between known and
	// first.
	MoveOffset(ctx context.Context, tx db.Execer, consumer, topic string, partition int32,
		epoch, known, first, next int64) (bool, error)
}

// groupPositions is what remembering the consumer's Kafka group needs of a database.
type groupPositions interface {
	// ReadGroups reads the rows of topics; older: of a table without columns for groups.
	ReadGroups(ctx context.Context, q db.Queryer, consumer string, topics []string, older bool) (
		[]store.GroupPosition, error)
	InsertGroup(ctx context.Context, q db.Execer, consumer string, g store.GroupPosition) (bool, error)
	ReplaceGroup(ctx context.Context, q db.Execer, consumer string, from, to store.GroupPosition) (bool, error)
	// RaiseGroups notes how far partitions have come. It returns how many of them the group still reads.
	RaiseGroups(ctx context.Context, q db.Execer, consumer, group string, to []store.GroupPosition) (int64, error)
	// LowestOffsets returns the lowest position of each partition that rows come from.
	LowestOffsets(ctx context.Context, q db.Queryer, consumer string) ([]store.Position, error)
}

// PartitionClaim is the claim of one member of a consumer group on one partition whose offset is kept in the
// database. The latest claim of a partition is the valid one. The database counts the claims (Epoch). Kafka's own
// count, the group's generation, would not do: it starts again at 1 when the group expires. Safe for use by one
// goroutine at a time.
type PartitionClaim struct {
	ib        *Inbox
	topic     string
	partition int32
	epoch     int64
	next      sql.NullInt64
}

// ClaimPartition claims a partition. From then on every earlier claim of it fails with ErrFenced. ClaimPartition
// waits for a transaction that is about to commit. Call it when the group assigns the partition, and continue to
// read at Next.
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
	over := ib.watch(ctx, db, &lockWait{}, "topic", topic, "partition", partition)
	row, err := ib.store.ClaimPartition(ctx, tx, ib.consumer, topic, partition)
	over(err)
	if err != nil {
		return fail(err)
	}
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	return &PartitionClaim{ib: ib, topic: topic, partition: partition, epoch: row.Epoch, next: row.Next}, nil
}

// Next returns the offset to continue at. ok is false if no message was handled yet.
func (c *PartitionClaim) Next() (offset int64, ok bool) { return c.next.Int64, c.next.Valid }

// Epoch is how often the partition was claimed, this claim included.
func (c *PartitionClaim) Epoch() int64 { return c.epoch }

// handled reports whether the offset is behind a message: it was handled before.
func (c *PartitionClaim) handled(m Message) bool {
	return c.next.Valid && m.Position.Offset < c.next.Int64
}

// Skip moves the offset to next, over records that are not messages, such as the ends of Kafka's transactions. An
// offset that is higher already stays. Skip fails with ErrFenced if another member has claimed the partition.
func (c *PartitionClaim) Skip(ctx context.Context, db *sql.DB, next int64) error {
	fail := func(err error) error {
		return fmt.Errorf("inbox: move the offset of %s/%d for %q to %d: %w%s", c.topic, c.partition, c.ib.consumer,
			next, err, hint(err))
	}
	moved, err := c.ib.store.MoveOffset(ctx, db, c.ib.consumer, c.topic, c.partition, c.epoch, c.known(), next, next)
	if err != nil {
		return fail(err)
	}
	if moved {
		c.next = sql.NullInt64{Int64: next, Valid: true}
		return nil
	}
	row, err := c.ib.store.ReadClaim(ctx, db, c.ib.consumer, c.topic, c.partition)
	switch {
	case err != nil:
		return fail(err)
	case row.Epoch != c.epoch:
		return fail(ErrFenced)
	}
	return c.checkBack(row)
}

// known is the last offset that the database is known to have had; -1: none.
func (c *PartitionClaim) known() int64 {
	if !c.next.Valid {
		return -1
	}
	return c.next.Int64
}

// checkBack returns ErrFenced if the row has a lower offset than before. Then the database was restored to an
// earlier state, or has failed over to a copy that lags. The messages in between must be read again.
func (c *PartitionClaim) checkBack(row store.Claim) error {
	back := &PartitionClaim{next: row.Next}
	if row.Epoch != c.epoch || back.known() >= c.known() {
		return nil
	}
	return fmt.Errorf("%w, or the database has gone back to an earlier state: consumer %q, the offset of %s/%d "+
		"was %d, and is %d now (-1: none)",
		ErrFenced, c.ib.consumer, c.topic, c.partition, c.known(), back.known())
}

// check returns an error for messages of another partition, and for messages that are not in the order of their
// offsets.
func (c *PartitionClaim) check(ms []Message) error {
	last := int64(-1)
	for _, m := range ms {
		p := m.Position
		if p == nil || p.Topic != c.topic || p.Partition != c.partition || p.Offset <= last {
			return fmt.Errorf("%w of message %q: want rising offsets of %s/%d, the claimed partition",
				ErrInvalidPosition, m.ID, c.topic, c.partition)
		}
		last = p.Offset
	}
	return nil
}

// move moves the offset behind the last of ms, in their transaction. The first of them may be before the offset,
// because it was delivered again. What counts is that nobody has moved the offset since this claim did.
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
	return fmt.Errorf("%w: consumer %q, %s/%d, epoch %d, now %d", ErrFenced, c.ib.consumer, c.topic, c.partition,
		c.epoch, epoch)
}

// resolve reads, after a COMMIT without an answer, whether that COMMIT has moved the offset. It waits for a COMMIT
// that is still on its way. epoch is the one that the database has.
func (c *PartitionClaim) resolve(ctx context.Context, tx *sql.Tx) (epoch int64, err error) {
	row, err := c.ib.store.LockClaim(ctx, tx, c.ib.consumer, c.topic, c.partition)
	if err == nil {
		err = c.checkBack(row)
	}
	if err == nil && row.Epoch == c.epoch {
		c.next = row.Next
	}
	return row.Epoch, err
}

// moved records a move that is committed.
func (c *PartitionClaim) moved(ms []Message) {
	c.next = sql.NullInt64{Int64: ms[len(ms)-1].Position.Offset + 1, Valid: true}
}

// GroupPosition is what the consumer's database remembers of its Kafka group in one partition. The offset in Kafka
// alone does not show three things: that the database was restored to an earlier state, that the topic was deleted
// and another one has its name, and that two groups read the topic for one consumer. Package inboxkafka uses it.
type GroupPosition struct {
	Topic     string
	Partition int32
	// Group is the group that reads the partition for the consumer; empty: not known yet.
	Group string
	// TopicID is Kafka's id of the topic that the offsets belong to; empty: not known yet, or the brokers have no
	// such ids.
	TopicID string
	// Applied is an offset below which all messages are done; -1: not known. It is committed before Kafka's offset.
	// Therefore Kafka's offset is never higher, unless the database was set back.
	Applied int64
	// Next is the offset of a consumer that keeps it in the database (ClaimPartition); -1: it is kept in Kafka.
	Next int64
	// Noted is the offset that the caller noted last, for RaiseApplied alone; 0: none. If Applied is lower in the
	// database, the database was set back to an earlier state, and RaiseApplied notes nothing.
	Noted int64
}

// Done returns the offset below which all messages are known to be done; -1: not known.
func (p GroupPosition) Done() int64 { return max(p.Applied, p.Next) }

// GroupPositions returns what is remembered of topics. kept is false if the database does not remember groups: an
// older build made the tables, or the user lacks a right. Then only Next is known, or nothing.
func (ib *Inbox) GroupPositions(ctx context.Context, db *sql.DB, topics []string) (
	positions []GroupPosition, kept bool, err error) {
	rows, err := ib.store.ReadGroups(ctx, db, ib.consumer, topics, false)
	kept = err == nil
	if isOlderTable(err) {
		rows, err = ib.store.ReadGroups(ctx, db, ib.consumer, topics, true)
	}
	if isUnusable(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, ib.groupError("read the group's positions", err)
	}
	for _, row := range rows {
		positions = append(positions, GroupPosition(row))
	}
	return positions, kept, nil
}

// isOlderTable reports whether the table lacks a column, because an older build made it.
func isOlderTable(err error) bool { return db.IsMissingColumn(err) }

// ErrGroupChanged means: another member has changed the position meanwhile. Read the position again.
var ErrGroupChanged = errors.New("another member has changed it meanwhile")

// ClaimGroupPosition changes the position of a partition from what was read to another one. from is nil if there
// was no position. If the topic is another one than before (TopicID), the old offsets are removed. It fails with
// ErrGroupChanged if another member has changed the position since it was read.
func (ib *Inbox) ClaimGroupPosition(ctx context.Context, db *sql.DB, from *GroupPosition, to GroupPosition) error {
	var done bool
	var err error
	if from == nil {
		done, err = ib.store.InsertGroup(ctx, db, ib.consumer, store.GroupPosition(to))
	} else {
		done, err = ib.store.ReplaceGroup(ctx, db, ib.consumer, store.GroupPosition(*from),
			store.GroupPosition(to))
	}
	if err == nil && !done {
		err = ErrGroupChanged
	}
	if err != nil {
		return ib.groupError(fmt.Sprintf("claim %s/%d for group %q", to.Topic, to.Partition, to.Group), err)
	}
	return nil
}

// RaiseApplied notes how far partitions have come, before their offsets are committed to Kafka. It notes those that
// group still reads, in the topic of TopicID. An offset that is higher already stays. all is true if every
// partition was noted.
func (ib *Inbox) RaiseApplied(ctx context.Context, db *sql.DB, group string, to []GroupPosition) (all bool, err error) {
	noted := int64(0)
	for begin := 0; begin < len(to); begin += store.MaxGroups {
		var rows []store.GroupPosition
		for _, p := range to[begin:min(begin+store.MaxGroups, len(to))] {
			rows = append(rows, store.GroupPosition(p))
		}
		n, err := ib.store.RaiseGroups(ctx, db, ib.consumer, group, rows)
		if err != nil {
			return false, ib.groupError("note how far the partitions have come", err)
		}
		noted += n
	}
	return noted == int64(len(to)), nil
}

// OffsetsTable is the name of the table of offsets and groups, for messages.
func (ib *Inbox) OffsetsTable() string { return ib.names.Plain(db.InboxOffsets) }

func (ib *Inbox) groupError(what string, err error) error {
	if db.IsDenied(err) {
		return fmt.Errorf("inbox: %s of consumer %q in %s: %w (%w): GRANT SELECT, INSERT, UPDATE, DELETE ON %s: "+
			"docs/tables.md",
			what, ib.consumer, ib.OffsetsTable(), err, ErrNoRights, ib.OffsetsTable())
	}
	return fmt.Errorf("inbox: %s of consumer %q in %s: %w%s", what, ib.consumer, ib.OffsetsTable(), err, hint(err))
}

// ErrNoRights means: the database user lacks a right on the table of offsets.
var ErrNoRights = errors.New("the user lacks a right")

// LowestPositions returns the lowest position of each Kafka partition that the consumer has rows of. Of messages
// below it nothing is known, or not any more. It reads all rows of the consumer once. inboxkafka calls it when a
// group begins.
func (ib *Inbox) LowestPositions(ctx context.Context, db *sql.DB) ([]Position, error) {
	lowest, err := ib.store.LowestOffsets(ctx, db, ib.consumer)
	if err != nil {
		return nil, fmt.Errorf("inbox: read the lowest positions of %q in %s: %w%s", ib.consumer, ib.table, err,
			hint(err))
	}
	positions := make([]Position, len(lowest))
	for i, at := range lowest {
		positions[i] = Position{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset}
	}
	return positions, nil
}
