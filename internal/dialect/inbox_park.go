package dialect

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// InboxParkedRow is a row of inbox_parked as the consumer writes and reads it.
type InboxParkedRow struct {
	InboxRow
	Seq      int64 // the database's
	Topic    string
	Key      *string // nil: none
	Type     string
	Headers  string // a JSON object
	Payload  []byte // nil: none
	Attempts int
	Error    string
	State    string
}

// Park writes a row.
func (i *Inbox) Park(ctx context.Context, tx Execer, p InboxParkedRow) error {
	var topic, partition, offset any
	if at := p.Position; at != nil {
		topic, partition, offset = i.bytes(at.Topic), at.Partition, at.Offset
	}
	var key, payload any
	if p.Key != nil {
		key = i.bytes(*p.Key)
	}
	if p.Payload != nil {
		payload = p.Payload
	}
	return i.exec(ctx, tx, `INSERT INTO {inbox_parked} (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.bytes(p.Consumer), i.bytes(p.MessageID), i.bytes(p.Topic), key, p.Type, p.Headers, payload,
		topic, partition, offset, p.Attempts, p.Error, p.State)
}

// StatementLimit returns how many bytes a statement and its arguments may have, as the server is set;
// 0: more than anybody writes.
func (i *Inbox) StatementLimit(ctx context.Context, tx Queryer) (limit int64, err error) {
	if i.names.Dialect != MySQL {
		return 0, nil
	}
	err = i.one(ctx, tx, []any{&limit}, "SELECT @@max_allowed_packet")
	return limit, err
}

// Block makes a key stand still, and locks its row.
func (i *Inbox) Block(ctx context.Context, tx Execer, consumer, topic, key string) error {
	query := "INSERT INTO {inbox_blocked} (consumer, topic, event_key) VALUES (?, ?, ?) ON CONFLICT (consumer, topic, event_key) DO UPDATE SET event_key = excluded.event_key"
	if i.names.Dialect == MySQL {
		query = "INSERT INTO {inbox_blocked} (consumer, topic, event_key) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE event_key = VALUES(event_key)"
	}
	return i.exec(ctx, tx, query, i.bytes(consumer), i.bytes(topic), i.bytes(key))
}

// LockBlocked locks the row of a key that stands still until the transaction ends, and
// reports whether there is one.
func (i *Inbox) LockBlocked(ctx context.Context, tx Queryer, consumer, topic, key string) (bool, error) {
	args := []any{i.bytes(consumer), i.bytes(topic), i.bytes(key)}
	const where = " WHERE consumer = ? AND topic = ? AND event_key = ?"
	if i.names.Dialect == SQLite { // has one lock, which a write takes
		n, err := i.affected(ctx, tx, "UPDATE {inbox_blocked} SET event_key = event_key"+where, args...)
		return n > 0, err
	}
	return i.found(ctx, tx, "SELECT 1 FROM {inbox_blocked}"+where+" FOR UPDATE", args...)
}

// Unblock lets a key go on, unless parked rows of it are left after seq, the last that was removed: then the first of
// them, if it waited, is to be retried. Were it left for later, nobody would ask for it once whoever replays the key
// has stopped between two rows. The key's row must be locked, and seq was its first.
func (i *Inbox) Unblock(ctx context.Context, tx Queryer, consumer, topic, key string, after int64) error {
	seq, state, left, err := i.firstParked(ctx, tx, consumer, topic, key, after)
	switch {
	case err != nil:
		return err
	case !left:
		return i.exec(ctx, tx, "DELETE FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?", i.bytes(consumer), i.bytes(topic), i.bytes(key))
	case state == ParkBlocked:
		return i.exec(ctx, tx, "UPDATE {inbox_parked} SET state = 'retry' WHERE consumer = ? AND seq = ? AND state = 'blocked'", i.bytes(consumer), seq)
	}
	return nil
}

// BlockedKeys returns those of the keys of a topic that stand still, and locks their rows.
func (i *Inbox) BlockedKeys(ctx context.Context, tx Queryer, consumer, topic string, keys []string) (map[string]bool, error) {
	blocked := map[string]bool{}
	const most = 1000
	for len(keys) > 0 {
		some := keys[:min(most, len(keys))]
		keys = keys[len(some):]
		query := "SELECT event_key FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key IN (?" + strings.Repeat(", ?", len(some)-1) + ")"
		if i.names.Dialect != SQLite {
			query += " ORDER BY event_key FOR UPDATE"
		}
		args := []any{i.bytes(consumer), i.bytes(topic)}
		for _, key := range some {
			args = append(args, i.bytes(key))
		}
		found, err := writtenMessages(ctx, tx, 0, nil, i.text(query), args...)
		if err != nil {
			return nil, err
		}
		for key := range found {
			blocked[key] = true
		}
	}
	return blocked, nil
}

func (i *Inbox) found(ctx context.Context, tx Queryer, query string, args ...any) (bool, error) {
	var n int
	err := i.one(ctx, tx, []any{&n}, i.names.Numbered(query), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
