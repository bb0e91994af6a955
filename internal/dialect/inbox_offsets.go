package dialect

import (
	"context"
	"database/sql"
)

// InboxHold is a row of inbox_offsets.
type InboxHold struct {
	Epoch int64
	Next  sql.NullInt64
}

const (
	holdReturning = `INSERT INTO {inbox_offsets} AS o (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING epoch, next_offset`

	holdMySQL = `INSERT INTO {inbox_offsets} (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON DUPLICATE KEY UPDATE epoch = epoch + 1`

	readHold = `SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?`
)

// HoldPartition gives a partition the next epoch, in tx, and returns its row. It waits
// for a transaction that is moving the offset, and so reads what that one leaves.
func (i *Inbox) HoldPartition(ctx context.Context, tx Queryer, consumer, topic string, partition int32) (h InboxHold, err error) {
	args := []any{i.bytes(consumer), i.bytes(topic), partition}
	if i.names.Dialect != MySQL {
		err = i.one(ctx, tx, []any{&h.Epoch, &h.Next}, i.names.Numbered(holdReturning), args...)
		return h, err
	}
	if err := i.exec(ctx, tx, holdMySQL, args...); err != nil {
		return h, err
	}
	err = i.one(ctx, tx, []any{&h.Epoch, &h.Next}, readHold, args...)
	return h, err
}

// ReadHold returns a partition's row.
func (i *Inbox) ReadHold(ctx context.Context, db Queryer, consumer, topic string, partition int32) (h InboxHold, err error) {
	err = i.one(ctx, db, []any{&h.Epoch, &h.Next}, i.names.Numbered(readHold), i.bytes(consumer), i.bytes(topic), partition)
	return h, err
}

// LockHold is ReadHold that locks the row: as it is, and not as it was when the transaction's snapshot
// was taken, or before a COMMIT that is on its way.
func (i *Inbox) LockHold(ctx context.Context, tx Queryer, consumer, topic string, partition int32) (h InboxHold, err error) {
	query := readHold
	if i.names.Dialect != SQLite { // has one writer at a time
		query += " FOR UPDATE"
	}
	err = i.one(ctx, tx, []any{&h.Epoch, &h.Next}, i.names.Numbered(query), i.bytes(consumer), i.bytes(topic), partition)
	return h, err
}

// MoveOffset sets the next offset of a partition that is held with epoch, if it is not beyond first yet, and not below known,
// where it was (-1: nowhere); false: it is, or another member holds the partition.
func (i *Inbox) MoveOffset(
	ctx context.Context, tx Execer, consumer, topic string, partition int32, epoch, known, first, next int64,
) (bool, error) {
	n, err := i.affected(ctx, tx, "UPDATE {inbox_offsets} SET next_offset = ?, updated_at = "+i.stamp()+
		" WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND epoch = ? AND COALESCE(next_offset, -1) BETWEEN ? AND ?",
		next, i.bytes(consumer), i.bytes(topic), partition, epoch, known, first)
	return n > 0, err
}

// LowestOffsets returns, of each partition that the consumer's rows come from, the lowest offset.
func (i *Inbox) LowestOffsets(ctx context.Context, db Queryer, consumer string) ([]InboxPosition, error) {
	rows, err := db.QueryContext(ctx, i.names.Expand(`SELECT kafka_topic, kafka_partition, min(kafka_offset) FROM {inbox_events}
WHERE consumer = `+i.names.Param(1)+` AND kafka_offset IS NOT NULL GROUP BY kafka_topic, kafka_partition`), i.bytes(consumer))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lowest []InboxPosition
	for rows.Next() {
		var at InboxPosition
		if err := rows.Scan(&at.Topic, &at.Partition, &at.Offset); err != nil {
			return nil, err
		}
		lowest = append(lowest, at)
	}
	return lowest, rows.Err()
}
