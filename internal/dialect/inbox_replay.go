package dialect

import (
	"context"
	"database/sql"
	"errors"
)

// InboxAsked is a parked row that an operator asked something for.
type InboxAsked struct {
	Seq   int64
	Topic string
	Key   *string // nil: none
}

// Every consumer runs it about once a second: inbox_parked_asked_idx makes that cheap.
const askedOfInbox = "SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state IN ('retry', 'drop') ORDER BY seq LIMIT ?"

// AskedParked returns the consumer's rows to be retried or dropped, the oldest first.
func (i *Inbox) AskedParked(ctx context.Context, db Queryer, consumer string, limit int) (asked []InboxAsked, err error) {
	rows, err := db.QueryContext(ctx, i.text(askedOfInbox),
		i.bytes(consumer), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a InboxAsked
		var key sql.NullString
		if err := rows.Scan(&a.Seq, &a.Topic, &key); err != nil {
			return nil, err
		}
		if key.Valid {
			a.Key = &key.String
		}
		asked = append(asked, a)
	}
	return asked, rows.Err()
}

// FirstParked returns the first row of a key, or of those asked for alone. Its rows must be locked (LockBlocked).
func (i *Inbox) FirstParked(ctx context.Context, tx Queryer, consumer, topic, key string, askedOnly bool) (seq int64, state string, ok bool, err error) {
	query := "SELECT seq, state FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ?"
	if askedOnly {
		query += " AND state IN ('retry', 'drop')"
	}
	query += " ORDER BY seq LIMIT 1"
	if i.names.Dialect == MySQL {
		query += " FOR UPDATE"
	}
	err = i.one(ctx, tx, []any{&seq, &state}, i.names.numbered(query), i.bytes(consumer), i.bytes(topic), i.bytes(key))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", false, nil
	}
	return seq, state, err == nil, err
}

// ClaimParked begins an attempt at a row that is in the given state: it is 'failed' from now on,
// until the attempt succeeds, so that one that kills the process is not begun again by itself.
// It locks the row, and reports whether it was there, in that state.
func (i *Inbox) ClaimParked(ctx context.Context, tx Execer, consumer string, seq int64, state string) (bool, error) {
	n, err := i.affected(ctx, tx, "UPDATE {inbox_parked} SET state = 'failed', attempts = attempts + 1 WHERE consumer = ? AND seq = ? AND state = ?",
		i.bytes(consumer), seq, state)
	return n > 0, err
}

// HoldBackParked has the rows of a key that were to be retried wait behind its head. Its rows must be locked.
func (i *Inbox) HoldBackParked(ctx context.Context, tx Execer, consumer, topic, key string, head int64) error {
	return i.exec(ctx, tx, "UPDATE {inbox_parked} SET state = 'blocked' WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? AND state = 'retry'",
		i.bytes(consumer), i.bytes(topic), i.bytes(key), head)
}

// UnclaimParked takes an attempt back that was not the message's fault.
func (i *Inbox) UnclaimParked(ctx context.Context, db Execer, consumer string, seq int64) error {
	return i.exec(ctx, db, "UPDATE {inbox_parked} SET state = 'retry', attempts = attempts - 1 WHERE consumer = ? AND seq = ? AND state = 'failed' AND attempts > 0",
		i.bytes(consumer), seq)
}

// FailParked keeps the error of an attempt.
func (i *Inbox) FailParked(ctx context.Context, db Execer, consumer string, seq int64, reason string) error {
	return i.exec(ctx, db, "UPDATE {inbox_parked} SET error = ? WHERE consumer = ? AND seq = ?", reason, i.bytes(consumer), seq)
}

// DeleteParked reports whether the row was there.
func (i *Inbox) DeleteParked(ctx context.Context, tx Execer, consumer string, seq int64) (bool, error) {
	n, err := i.affected(ctx, tx, "DELETE FROM {inbox_parked} WHERE consumer = ? AND seq = ?", i.bytes(consumer), seq)
	return n > 0, err
}

// ReadParked returns a row whole, and locks it; false: there is none.
func (i *Inbox) ReadParked(ctx context.Context, tx Queryer, consumer string, seq int64) (p InboxParkedRow, ok bool, err error) {
	headers, lock := "headers", " FOR UPDATE"
	switch i.names.Dialect {
	case PostgreSQL:
		headers = "headers::text"
	case SQLite:
		lock = ""
	}
	var key, topic sql.NullString
	var partition sql.NullInt32
	var offset sql.NullInt64
	var has bool
	p = InboxParkedRow{Seq: seq, InboxRow: InboxRow{Consumer: consumer}}
	query := "SELECT message_id, topic, event_key, event_type, " + headers + ", payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM {inbox_parked} WHERE consumer = ? AND seq = ?" + lock
	err = i.one(ctx, tx, []any{&p.MessageID, &p.Topic, &key, &p.Type, &p.Headers, &p.Payload, &has, &topic, &partition, &offset, &p.Attempts, &p.Error, &p.State},
		i.names.numbered(query), i.bytes(consumer), seq)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if has && p.Payload == nil {
		p.Payload = []byte{} // some drivers make no difference
	}
	if key.Valid {
		p.Key = &key.String
	}
	if topic.Valid && partition.Valid && offset.Valid {
		p.Position = &InboxPosition{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
	}
	return p, err == nil, err
}
