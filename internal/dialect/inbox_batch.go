package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Batches are handed over as one parameter, a list in the form that each server takes
// apart itself: a statement has the same text for any number of rows, and so one plan
// and one place in a driver's cache. The rows come sorted by id: two batches that
// share ids wait for one another in one order, and not in a circle.
const (
	insertMessagesPostgres = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT $1, m.id, m.topic, m.part, m.pos
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[]) AS m (id, topic, part, pos)
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text`

	insertMessagesSQLite = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT ?, json_extract(m.value, '$[0]'), json_extract(m.value, '$[1]'), json_extract(m.value, '$[2]'), json_extract(m.value, '$[3]')
FROM json_each(?) AS m WHERE true
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id`

	// MySQL has no RETURNING for what was new, and INSERT IGNORE turns an id that is too
	// long into another message's. So rows bear the token of the batch that wrote them, and
	// the clause leaves those that are there as they are. The list has hexadecimal ids, or the
	// connection's character set would have a say in them.
	insertMessagesMySQL = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, claim_token)
SELECT ?, UNHEX(m.id), UNHEX(m.topic), m.part, m.pos, ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]', topic VARCHAR(1992) PATH '$[1]', part INT PATH '$[2]', pos BIGINT PATH '$[3]')) AS m
ON DUPLICATE KEY UPDATE {inbox_events}.consumer = {inbox_events}.consumer`

	claimedMessagesMySQL = `SELECT e.message_id
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]')) AS m
STRAIGHT_JOIN {inbox_events} AS e ON e.consumer = ? AND e.message_id = UNHEX(m.id)
WHERE e.claim_token = ?`
)

// InsertMessages writes the rows of one consumer that are not there yet, and returns
// the ids of those that it wrote. No id may come twice. Like InsertMessage it waits for
// transactions that hold one of the ids uncommitted, and says in which transaction it wrote. One statement, on MySQL two.
func (i *Inbox) InsertMessages(ctx context.Context, tx Queryer, consumer string, rows []InboxRow) (map[string]bool, TxMark, error) {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b InboxRow) int { return strings.Compare(a.MessageID, b.MessageID) })
	switch i.names.Dialect {
	case PostgreSQL:
		ids, topics, partitions, offsets := messageArrays(rows)
		args := []any{consumer, ids, topics, partitions, offsets}
		if i.daily {
			days := make([]string, len(rows))
			for n, row := range rows {
				days[n] = messageDay(row.MessageID)
			}
			args = append(args, textArray(days))
		}
		var mark TxMark
		written, err := writtenMessages(ctx, tx, len(rows), &mark, i.insertAll, args...)
		return written, mark, i.moved(err)
	case SQLite:
		list, err := messageList(rows, func(s string) string { return s })
		if err != nil {
			return nil, "", err
		}
		written, err := writtenMessages(ctx, tx, len(rows), nil, i.insertAll, consumer, list)
		return written, "", err
	default:
		written, err := i.claimMessages(ctx, tx, consumer, rows)
		return written, "", err
	}
}

func (i *Inbox) claimMessages(ctx context.Context, tx Queryer, consumer string, rows []InboxRow) (map[string]bool, error) {
	list, err := messageList(rows, func(s string) string { return fmt.Sprintf("%X", s) })
	if err != nil {
		return nil, err
	}
	token := uuid.NewString()
	if _, err := tx.ExecContext(ctx, i.insertAll, i.bytes(consumer), token, list); err != nil {
		return nil, err
	}
	return writtenMessages(ctx, tx, len(rows), nil, i.claimed, list, i.bytes(consumer), token)
}

// writtenMessages reads the ids that a statement returns, and beside them the mark of the transaction, if it has one.
func writtenMessages(ctx context.Context, db Queryer, most int, mark *TxMark, query string, args ...any) (map[string]bool, error) {
	found, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	written := make(map[string]bool, most)
	var id string
	var number sql.RawBytes // the same in each row
	dest := []any{&id}
	if mark != nil {
		dest = append(dest, &number)
	}
	for found.Next() {
		if err := found.Scan(dest...); err != nil {
			return nil, err
		}
		if written[id] = true; len(written) == 1 && mark != nil {
			*mark = TxMark(number)
		}
	}
	return written, found.Err()
}

// messageArrays writes the columns of rows as PostgreSQL's array literals.
func messageArrays(rows []InboxRow) (ids, topics, partitions, offsets string) {
	var id, topic, partition, offset strings.Builder
	for n, row := range rows {
		separator := byte(',')
		if n == 0 {
			separator = '{'
		}
		for _, b := range []*strings.Builder{&id, &topic, &partition, &offset} {
			b.WriteByte(separator)
		}
		quoteElement(&id, row.MessageID)
		if row.Position == nil {
			topic.WriteString("NULL")
			partition.WriteString("NULL")
			offset.WriteString("NULL")
			continue
		}
		quoteElement(&topic, row.Position.Topic)
		fmt.Fprint(&partition, row.Position.Partition)
		fmt.Fprint(&offset, row.Position.Offset)
	}
	return id.String() + "}", topic.String() + "}", partition.String() + "}", offset.String() + "}"
}

// quoteElement writes a text element of an array literal.
func quoteElement(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

// messageList writes rows as a JSON array of [id, topic, partition, offset].
func messageList(rows []InboxRow, text func(string) string) (string, error) {
	list := make([][4]any, len(rows))
	for n, row := range rows {
		list[n][0] = text(row.MessageID)
		if p := row.Position; p != nil {
			list[n][1], list[n][2], list[n][3] = text(p.Topic), p.Partition, p.Offset
		}
	}
	encoded, err := json.Marshal(list)
	return string(encoded), err
}
