package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Consumed is what a consumer's tables have of a message.
type Consumed struct {
	Table    string // its default name: inbox_events, inbox_attempts or inbox_parked
	Consumer string
	At       time.Time      // when it was applied or parked, first tried, or parked
	Position *InboxPosition // where it came from, if the transport has positions
	Attempts int
	Error    string
	State    string // in inbox_parked
}

// TraceMessage looks for a message in the inbox. The index of inbox_events begins with
// the consumer: each consumer is asked for by itself.
func (i *Inbox) TraceMessage(ctx context.Context, db Queryer, id string) ([]Consumed, error) {
	var all []Consumed
	consumer, more, err := i.nextConsumer(ctx, db, "")
	for ; err == nil && more; consumer, more, err = i.nextConsumer(ctx, db, consumer) {
		err = i.traceIn(ctx, db, &all, InboxEvents,
			"consumer, {processed_at}, kafka_topic, kafka_partition, kafka_offset, 0, '', ''", "consumer", i.bytes(consumer), i.bytes(id))
		if err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if err := i.traceIn(ctx, db, &all, InboxAttempts, "consumer, {started_at}, NULL, NULL, NULL, attempts, last_error, ''", "", i.bytes(id)); err != nil {
		return nil, err
	}
	err = i.traceIn(ctx, db, &all, InboxParked, "consumer, {parked_at}, kafka_topic, kafka_partition, kafka_offset, attempts, error, state", "", i.bytes(id))
	return all, err
}

func (i *Inbox) nextConsumer(ctx context.Context, db Queryer, after string) (next string, more bool, err error) {
	rows, err := db.QueryContext(ctx, i.names.Expand("SELECT MIN(consumer) FROM {inbox_events} WHERE consumer > "+i.names.Param(1)), i.bytes(after))
	if err != nil {
		return "", false, fmt.Errorf("read %s: %w", i.names.Plain(InboxEvents), err)
	}
	var consumer sql.NullString
	err = scanOne(rows, &consumer)
	return consumer.String, consumer.Valid, err
}

// traceIn adds the rows of a table that hold the message; by names a column that goes
// before message_id in the condition.
func (i *Inbox) traceIn(ctx context.Context, db Queryer, all *[]Consumed, table, columns, by string, args ...any) error {
	where := "message_id = " + i.names.Param(len(args))
	if by != "" {
		where = by + " = " + i.names.Param(1) + " AND " + where
	}
	rows, err := db.QueryContext(ctx, "SELECT "+i.names.TimeColumns(columns)+" FROM "+i.names.Table(table)+" WHERE "+where, args...)
	if err != nil {
		return fmt.Errorf("read %s: %w", i.names.Plain(table), err)
	}
	defer rows.Close()
	for rows.Next() {
		c := Consumed{Table: table}
		var topic sql.NullString
		var partition sql.NullInt32
		var offset sql.NullInt64
		if err := rows.Scan(&c.Consumer, (*momentText)(&c.At), &topic, &partition, &offset, &c.Attempts, &c.Error, &c.State); err != nil {
			return fmt.Errorf("read %s: %w", i.names.Plain(table), err)
		}
		if topic.Valid && partition.Valid && offset.Valid {
			c.Position = &InboxPosition{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
		}
		*all = append(*all, c)
	}
	return rows.Err()
}
