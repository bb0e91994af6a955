package dialect

import (
	"context"
	"strings"
)

// InboxGroupPosition is what a row of inbox_offsets tells of the consumer's Kafka group in one partition.
type InboxGroupPosition struct {
	Topic     string
	Partition int32
	Group     string // empty: not known, as the next
	TopicID   string
	Applied   int64 // all messages below it are done; -1: not known
	Next      int64 // the position, where it lives here: all below it are done, and nothing else; -1: it lives in Kafka
	Noted     int64 // for RaiseGroups alone: Applied is not below it, unless the database has gone back
}

// ReadGroups returns a consumer's rows of the topics; with older of a table that has no columns for groups yet.
func (i *Inbox) ReadGroups(ctx context.Context, db Queryer, consumer string, topics []string, older bool) ([]InboxGroupPosition, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	args := []any{i.bytes(consumer)}
	for _, topic := range topics {
		args = append(args, i.bytes(topic))
	}
	what := "COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1)"
	if older {
		what = "'', '', -1"
	}
	rows, err := db.QueryContext(ctx, i.text("SELECT kafka_topic, kafka_partition, "+what+", COALESCE(next_offset, -1) FROM {inbox_offsets}"+
		" WHERE consumer = ? AND kafka_topic IN (?"+strings.Repeat(", ?", len(topics)-1)+")"), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var groups []InboxGroupPosition
	for rows.Next() {
		var g InboxGroupPosition
		if err := rows.Scan(&g.Topic, &g.Partition, &g.Group, &g.TopicID, &g.Applied, &g.Next); err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, rows.Err()
}

// InsertGroup makes a partition's row; false: it is there.
func (i *Inbox) InsertGroup(ctx context.Context, db Execer, consumer string, g InboxGroupPosition) (bool, error) {
	err := i.exec(ctx, db, `INSERT INTO {inbox_offsets} (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES (?, ?, ?, 0, ?, ?, ?)`, i.bytes(consumer), i.bytes(g.Topic), g.Partition, i.orNull(g.Group), i.orNull(g.TopicID), orNoOffset(g.Applied))
	if IsDuplicate(err) {
		return false, nil
	}
	return err == nil, err
}

// ReplaceGroup changes a partition's row from what was read of it; false: it has changed since. In the same topic
// the applied offset never falls: another member may have raised it meanwhile. A position stays, or goes if to has none:
// and with it all Holds, by the epoch, or one of a member that was paused would put it in again.
func (i *Inbox) ReplaceGroup(ctx context.Context, db Execer, consumer string, from, to InboxGroupPosition) (bool, error) {
	set, args := "applied_offset = ?", []any{i.orNull(to.Group), i.orNull(to.TopicID), orNoOffset(to.Applied)}
	if from.TopicID == to.TopicID || from.TopicID == "" {
		set = "applied_offset = " + i.greater("COALESCE(applied_offset, ?)", "COALESCE(?, applied_offset)")
		args = append(args, orNoOffset(to.Applied))
	}
	if to.Next < 0 {
		set += ", next_offset = NULL, epoch = epoch + 1"
	}
	args = append(args, i.bytes(consumer), i.bytes(from.Topic), from.Partition, i.bytes(from.Group), i.bytes(from.TopicID))
	n, err := i.affected(ctx, db, "UPDATE {inbox_offsets} SET kafka_group = ?, topic_id = ?, "+set+", updated_at = "+i.stamp()+
		" WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?", args...)
	return n > 0, err
}

// MaxGroups is the most partitions that RaiseGroups takes: SQLite's limit of SELECTs in a UNION.
const MaxGroups = 500

// RaiseGroups notes in one statement how far partitions have come, in those that are still read by the same group
// in the same topic, and where they were noted to be at least. It returns how many they are.
func (i *Inbox) RaiseGroups(ctx context.Context, db Execer, consumer, group string, to []InboxGroupPosition) (int64, error) {
	// The first row tells the types.
	values := "SELECT CAST(? AS " + i.textType() + ") AS topic, CAST(? AS " + i.integerType() + ") AS part, CAST(? AS " + i.textType() +
		") AS id, CAST(? AS " + i.integerType() + ") AS applied, CAST(? AS " + i.integerType() + ") AS noted" +
		strings.Repeat(" UNION ALL SELECT ?, ?, ?, ?, ?", len(to)-1)
	const same = "o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id" +
		" AND COALESCE(o.applied_offset, 0) >= v.noted"
	var rows []any
	for _, g := range to {
		rows = append(rows, i.bytes(g.Topic), g.Partition, i.bytes(g.TopicID), g.Applied, g.Noted)
	}
	whose := []any{i.bytes(consumer), i.bytes(group)}
	if i.names.Dialect == MySQL {
		return i.affected(ctx, db, "UPDATE {inbox_offsets} AS o JOIN ("+values+") AS v ON "+same+
			" SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = "+i.stamp(), append(rows, whose...)...)
	}
	return i.affected(ctx, db, "UPDATE {inbox_offsets} AS o SET applied_offset = "+i.greater("COALESCE(o.applied_offset, v.applied)", "v.applied")+
		", updated_at = "+i.stamp()+" FROM ("+values+") AS v WHERE "+same, append(rows, whose...)...)
}

func (i *Inbox) greater(a, b string) string {
	if i.names.Dialect == SQLite {
		return "max(" + a + ", " + b + ")"
	}
	return "GREATEST(" + a + ", " + b + ")"
}

func (i *Inbox) textType() string {
	return map[Dialect]string{PostgreSQL: "text", MySQL: "binary", SQLite: "text"}[i.names.Dialect]
}

func (i *Inbox) integerType() string {
	return map[Dialect]string{PostgreSQL: "bigint", MySQL: "signed", SQLite: "integer"}[i.names.Dialect]
}

// stamp is the time now, as the column updated_at has it.
func (i *Inbox) stamp() string {
	return map[Dialect]string{PostgreSQL: "clock_timestamp()", MySQL: "utc_timestamp(6)", SQLite: "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"}[i.names.Dialect]
}

// orNull is bytes, and NULL for an empty name.
func (i *Inbox) orNull(s string) any {
	if s == "" {
		return nil
	}
	return i.bytes(s)
}

// orNoOffset is NULL for an offset that is not known.
func orNoOffset(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}
