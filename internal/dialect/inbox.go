package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// InboxPosition is where Kafka had a message.
type InboxPosition struct {
	Topic     string
	Partition int32
	Offset    int64
}

// InboxRow is a row to insert into inbox_events.
type InboxRow struct {
	Consumer  string
	MessageID string
	Position  *InboxPosition // nil: NULL
}

// Inbox reads and writes the inbox tables of one installation. Safe for concurrent use.
type Inbox struct {
	names   Names
	insert  string
	expired string
	remove  string // up to the list of ids

	insertAll string
	claimed   string // MySQL's: which of them were new

	startAttempt string // PostgreSQL's
	daily        bool   // inbox_events has daily partitions
}

// NewInbox returns the inbox's statements for n, which it validates.
func NewInbox(n Names) (*Inbox, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	i := &Inbox{names: n, startAttempt: startAttemptPostgres}
	switch n.Dialect {
	case PostgreSQL:
		i.insert, i.expired, i.remove = insertMessagePostgres, expiredPostgres, removePostgres
		i.insertAll = insertMessagesPostgres
	case MySQL:
		i.insert, i.expired, i.remove = insertMessageMySQL, expiredMySQL, removeMySQL
		i.insertAll, i.claimed = insertMessagesMySQL, n.Expand(claimedMessagesMySQL)
	case SQLite:
		i.insert, i.expired, i.remove = insertMessageSQLite, expiredSQLite, removeSQLite
		i.insertAll = insertMessagesSQLite
	default:
		return nil, fmt.Errorf("no inbox statements for dialect %q", n.Dialect)
	}
	i.insert, i.expired, i.remove = n.Expand(i.insert), n.Expand(i.expired), n.Expand(i.remove)
	i.insertAll = n.Expand(i.insertAll)
	return i, nil
}

// All three wait while another transaction holds the same key uncommitted, and so
// answer only when it is known whether that one took effect.
const (
	insertMessagePostgres = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (consumer, message_id) DO NOTHING RETURNING pg_current_xact_id()::text`

	// Not INSERT IGNORE: it turns errors into warnings, and truncates an id that is
	// too long into another message's.
	insertMessageMySQL = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, ?, ?, ?, ?)`

	insertMessageSQLite = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, ?, ?, ?, ?) ON CONFLICT (consumer, message_id) DO NOTHING`
)

// InsertMessage writes the row and reports true, or reports false when a committed
// row, or one of this transaction, has the same consumer and message id. PostgreSQL says in which transaction it
// did so, for MarkTx.
func (i *Inbox) InsertMessage(ctx context.Context, tx Queryer, row InboxRow) (fresh bool, mark TxMark, err error) {
	var topic, partition, offset any
	if p := row.Position; p != nil {
		topic, partition, offset = i.bytes(p.Topic), p.Partition, p.Offset
	}
	args := []any{i.bytes(row.Consumer), i.bytes(row.MessageID), topic, partition, offset}
	if i.daily {
		args = append(args, messageDay(row.MessageID))
	}
	if i.names.Dialect == PostgreSQL {
		err = i.one(ctx, tx, []any{&mark}, i.insert, args...)
		if errors.Is(err, sql.ErrNoRows) {
			return false, "", nil
		}
		return err == nil, mark, i.moved(err)
	}
	result, err := tx.ExecContext(ctx, i.insert, args...)
	if err != nil {
		if i.names.Dialect == MySQL && IsDuplicate(err) {
			return false, "", nil // the table has one unique key: it is this one
		}
		return false, "", err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, "", fmt.Errorf("read the number of rows inserted: %w", err)
	}
	return n == 1, "", nil
}

// bytes sends a name as bytes where the column is binary, so that the connection's
// character set does not matter.
func (i *Inbox) bytes(s string) any {
	if i.names.Dialect == MySQL {
		return []byte(s)
	}
	return s
}
