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

// Every consumer runs it about once a second: inbox_parked_asked_idx makes that cheap. MySQL's index has the
// states apart, and a list of both would sort all that was asked for.
const (
	askedOfInbox = "SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state IN ('retry', 'drop') AND seq > ? ORDER BY seq LIMIT ?"

	askedOfInboxMySQL = `(SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?)
UNION ALL (SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state = 'drop' AND seq > ? ORDER BY seq LIMIT ?) ORDER BY seq LIMIT ?`
)

// AskedParked returns the consumer's rows to be retried or dropped after seq, in order.
func (i *Inbox) AskedParked(ctx context.Context, db Queryer, consumer string, after int64, limit int) (asked []InboxAsked, err error) {
	query, args := askedOfInbox, []any{i.bytes(consumer), after, limit}
	if i.names.Dialect == MySQL {
		query, args = askedOfInboxMySQL, append(append(args, args...), limit)
	}
	rows, err := db.QueryContext(ctx, i.text(query), args...)
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

// firstParked returns the first row of a key after seq. Its rows must be locked (LockBlocked).
func (i *Inbox) firstParked(ctx context.Context, tx Queryer, consumer, topic, key string, after int64) (seq int64, state string, ok bool, err error) {
	query := "SELECT seq, state FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT 1"
	if i.names.Dialect == MySQL {
		query += " FOR UPDATE"
	}
	err = i.one(ctx, tx, []any{&seq, &state}, i.names.Numbered(query), i.bytes(consumer), i.bytes(topic), i.bytes(key), after)
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
	lock := " FOR UPDATE"
	if i.names.Dialect == SQLite {
		lock = ""
	}
	p = InboxParkedRow{Seq: seq, InboxRow: InboxRow{Consumer: consumer}}
	query := "SELECT " + i.parkedColumns() + " FROM {inbox_parked} WHERE consumer = ? AND seq = ?" + lock
	err = p.scan(func(dest ...any) error {
		return i.one(ctx, tx, dest, i.names.Numbered(query), i.bytes(consumer), seq)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}
