package dialect

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"
)

// MaxInboxBatch is the most ids that DeleteMessages takes: SQLite allows 32,766
// parameters in a statement.
const MaxInboxBatch = 30_000

// ExpiredMessage is a row of inbox_events that is older than the retention.
type ExpiredMessage struct {
	MessageID string
	Position  *InboxPosition
}

// InboxCursor says how far a walk over the expired rows has come. Its zero value is the start.
type InboxCursor struct {
	done bool
	// PostgreSQL: the next block of the table, and how many there were at the start.
	started       bool
	block, blocks int64
	table         int // of those that the rows are in
	// Elsewhere: the last row, in the order of the index.
	processedAt, messageID string
}

// Done reports whether the walk has seen every row that was expired when it began.
func (c InboxCursor) Done() bool { return c.done }

// ExpiredMessages returns the next rows of consumer that are older than age by the
// database's clock, and where to go on from. There may be none although the walk is
// not done. limit bounds their number, except on PostgreSQL, where it is bounded by
// the size of the part of the table that is read.
func (i *Inbox) ExpiredMessages(ctx context.Context, db Queryer, consumer string, age time.Duration, from InboxCursor, limit int) ([]ExpiredMessage, InboxCursor, error) {
	if i.names.Dialect == PostgreSQL {
		return i.expiredByBlock(ctx, db, consumer, age, from)
	}
	return i.expiredByIndex(ctx, db, consumer, age, from, limit)
}

// PostgreSQL has no index on processed_at: a B-tree made the INSERT of every message
// 13 to 48 % slower and wrote a fifth more WAL (three rounds of 300,000 rows on PostgreSQL
// 15), and a BRIN index is of no use once purged space is filled again, because its
// summaries only widen. Instead the table is read once from front to back, in pieces
// of which each is a statement of its own (a TID Range Scan), so that no snapshot is
// held for long.
const (
	blocksPostgres = `SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint`

	expiredPostgres = `SELECT message_id, kafka_topic, kafka_partition, kafka_offset, ''
FROM {inbox_events}
WHERE ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'`

	// pieceBlocks is 1 MiB of blocks of 8 KiB: some 10,000 rows.
	pieceBlocks = 128
)

func (i *Inbox) expiredByBlock(ctx context.Context, db Queryer, consumer string, age time.Duration, from InboxCursor) ([]ExpiredMessage, InboxCursor, error) {
	tables := []string{InboxEvents}
	if i.daily {
		tables = []string{inboxUndated, inboxStrays} // the days are dropped whole
	}
	table := i.names.Table(tables[from.table])
	next := from
	if !next.started {
		rows, err := db.QueryContext(ctx, blocksPostgres, table)
		if err != nil {
			return nil, from, err
		}
		if err := scanOne(rows, &next.blocks); err != nil {
			return nil, from, err
		}
		next.started = true
	}
	first := tid(next.block)
	next.block += pieceBlocks
	rows, err := db.QueryContext(ctx, strings.Replace(i.expired, i.names.Table(InboxEvents), table, 1), consumer, i.age(age), first, tid(next.block))
	if err != nil {
		return nil, from, err
	}
	expired, _, err := scanExpired(rows)
	if err != nil {
		return nil, from, err
	}
	if next.block >= next.blocks {
		next = InboxCursor{table: next.table + 1, done: next.table+1 == len(tables)}
	}
	return expired, next, nil
}

func tid(block int64) string { return "(" + strconv.FormatInt(block, 10) + ",0)" }

// In the order of the index (consumer, processed_at), which holds the message id as
// well; after the last row of the previous piece, so that rows which must stay are
// passed once. The lower bound is spelt out instead of (processed_at, message_id) >
// (?, ?), because MySQL uses no index for a comparison of rows.
const (
	expiredMySQL = `SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS CHAR)
FROM {inbox_events}
WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND
  AND processed_at >= CAST(? AS DATETIME(6)) AND (processed_at > CAST(? AS DATETIME(6)) OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?`

	// CAST, or a driver that parses times would not give back what the table has.
	expiredSQLite = `SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS TEXT)
FROM {inbox_events}
WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z'
  AND processed_at >= ? AND (processed_at > ? OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?`
)

func (i *Inbox) expiredByIndex(ctx context.Context, db Queryer, consumer string, age time.Duration, from InboxCursor, limit int) ([]ExpiredMessage, InboxCursor, error) {
	after := from.processedAt
	if after == "" {
		after = "1000-01-01 00:00:00.000000" // before any time of either database, as a time and as text
	}
	rows, err := db.QueryContext(ctx, i.expired, i.bytes(consumer), i.age(age), after, after, i.bytes(from.messageID), limit)
	if err != nil {
		return nil, from, err
	}
	expired, last, err := scanExpired(rows)
	if err != nil {
		return nil, from, err
	}
	next := InboxCursor{done: len(expired) < limit, processedAt: last}
	if len(expired) > 0 {
		next.messageID = expired[len(expired)-1].MessageID
	}
	return expired, next, nil
}

// scanExpired reads and closes rows; last is the time of the last one, as text.
func scanExpired(rows *sql.Rows) (expired []ExpiredMessage, last string, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			m         ExpiredMessage
			topic     sql.NullString
			partition sql.NullInt32
			offset    sql.NullInt64
		)
		if err := rows.Scan(&m.MessageID, &topic, &partition, &offset, &last); err != nil {
			return nil, "", err
		}
		if topic.Valid && partition.Valid && offset.Valid {
			m.Position = &InboxPosition{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
		}
		expired = append(expired, m)
	}
	return expired, last, rows.Err()
}

func scanOne(rows *sql.Rows, dest any) error {
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := rows.Scan(dest); err != nil {
		return err
	}
	return rows.Close()
}

// The age is asked for again: between the read and the delete another pruner may
// have removed a row and a redelivery written it anew.
const (
	removePostgres = `DELETE FROM {inbox_events} WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_id IN `
	removeMySQL    = `DELETE FROM {inbox_events} WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND message_id IN `
	removeSQLite   = `DELETE FROM {inbox_events} WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' AND message_id IN `
)

// DeleteMessages deletes those of the consumer's ids, at most MaxInboxBatch, that are
// still older than age, and returns how many they were.
func (i *Inbox) DeleteMessages(ctx context.Context, db Execer, consumer string, age time.Duration, ids []string) (int64, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	if i.daily {
		return i.deleteDaily(ctx, db, consumer, age, ids)
	}
	var b strings.Builder
	b.WriteString(i.remove)
	if i.names.Dialect == PostgreSQL {
		writeNumbered(&b, 2, len(ids))
	} else {
		b.WriteString("(?" + strings.Repeat(", ?", len(ids)-1) + ")")
	}
	args := make([]any, 0, len(ids)+2)
	args = append(args, i.bytes(consumer), i.age(age))
	for _, id := range ids {
		args = append(args, i.bytes(id))
	}
	result, err := db.ExecContext(ctx, b.String(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// age is the parameter that the dialect's statements take for a duration.
func (i *Inbox) age(d time.Duration) any {
	switch i.names.Dialect {
	case PostgreSQL:
		return float64(d.Microseconds())
	case SQLite: // a modifier of its date functions
		return "-" + strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + " seconds"
	}
	return d.Microseconds()
}

// OldestMessage returns the age of the consumer's oldest row, 0 if there is none.
func (i *Inbox) OldestMessage(ctx context.Context, db Queryer, consumer string) (time.Duration, error) {
	age := map[Dialect]string{
		PostgreSQL: "extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000",
		MySQL:      "TIMESTAMPDIFF(MICROSECOND, MIN(processed_at), utc_timestamp(6))",
		SQLite:     "(julianday('now') - julianday(min(processed_at))) * 86400000000.0",
	}[i.names.Dialect]
	if i.daily {
		return i.oldestDaily(ctx, db, consumer)
	}
	var us sql.NullFloat64
	if err := i.one(ctx, db, []any{&us}, i.text("SELECT "+age+" FROM {inbox_events} WHERE consumer = ?"), i.bytes(consumer)); err != nil {
		return 0, err
	}
	return time.Duration(max(us.Float64, 0)) * time.Microsecond, nil
}

// ParkedIDs returns which of the ids are those of parked messages. It reads the parked ones of the consumer once.
func (i *Inbox) ParkedIDs(ctx context.Context, db Queryer, consumer string, ids []string) (map[string]bool, error) {
	var b strings.Builder
	b.WriteString("SELECT message_id FROM {inbox_parked} WHERE consumer = " + i.names.Param(1) + " AND message_id IN ")
	if i.names.Dialect == PostgreSQL {
		writeNumbered(&b, 1, len(ids))
	} else {
		b.WriteString("(?" + strings.Repeat(", ?", len(ids)-1) + ")")
	}
	args := make([]any, 0, len(ids)+1)
	args = append(args, i.bytes(consumer))
	for _, id := range ids {
		args = append(args, i.bytes(id))
	}
	rows, err := db.QueryContext(ctx, i.names.Expand(b.String()), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	parked := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		parked[id] = true
	}
	return parked, rows.Err()
}
