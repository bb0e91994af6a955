package dialect

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// InboxStatus is what the inbox tables tell, by the database's clock.
type InboxStatus struct {
	Consumers []InboxConsumer // by name
	Holds     []InboxHeld     // by consumer, topic and partition
	Backfills []InboxBackfill // that a replica has heard of and that are not finished
	// Absent are default names of tables that are not there: an older build made the tables.
	Absent []string
}

// InboxConsumer is what is known of one consumer.
type InboxConsumer struct {
	Consumer string
	Rows     int64 // of inbox_events
	// Window is the age of its oldest row: how far back duplicates are recognised.
	Window time.Duration
	Oldest time.Time // when that row was applied; zero: there is none
	// Estimated: Rows and Window are from a part of the table. The window may be longer.
	Estimated bool

	Parked       map[string]int64 // by state; all together CountLimit means: or more
	OldestParked time.Time        // zero: none
	ParkedAge    time.Duration
	BlockedKeys  int64 // at the most CountLimit

	Attempts      int64         // messages and batches that were begun and are not done; at the most CountLimit
	OldestAttempt time.Duration // since the oldest of them was last begun
}

// InboxHeld is what is known of a partition of a Kafka topic.
type InboxHeld struct {
	Consumer  string
	Topic     string
	Partition int32
	Group     string        // that reads it; empty: not known, as the next
	TopicID   string        // of the topic that the offsets are of
	Applied   sql.NullInt64 // all messages below it are done; not valid: not known
	Next      sql.NullInt64 // the position, where it is kept beside the data; not valid: it is not, or nothing was handled yet
	Epoch     int64
	UpdatedAt time.Time
	Age       time.Duration // since the last move
}

// InboxBackfill is a backfill that has not arrived whole.
type InboxBackfill struct {
	Replica string
	RunID   string
	Sent    sql.NullInt64 // rows, by its end marker; not valid: that has not come
	HeardAt time.Time
	Age     time.Duration // since the replica first heard of it
}

// ReadInboxStatus reads the state of the inbox, of one consumer if that is not empty, in
// a few statements without locks. However large inbox_events is, it reads a bounded part.
func ReadInboxStatus(ctx context.Context, db *sql.DB, n Names, consumer string) (InboxStatus, error) {
	i, err := NewInbox(n)
	if err != nil {
		return InboxStatus{}, err
	}
	s := &inboxLook{inbox: i, db: db, only: consumer, consumers: map[string]*InboxConsumer{}}
	for _, part := range []struct {
		table string
		late  bool // not in the first version of the tables
		read  func(context.Context) error
	}{
		{InboxEvents, false, s.events}, {InboxAttempts, false, s.attempts}, {InboxParked, false, s.parked},
		{InboxBlocked, false, s.blocked}, {InboxOffsets, true, s.holds}, {inboxRuns, true, s.backfills},
	} {
		err := part.read(ctx)
		if part.late && IsMissingTable(err) {
			s.status.Absent = append(s.status.Absent, part.table)
			continue
		}
		if err != nil {
			return InboxStatus{}, fmt.Errorf("read %s: %w", n.Plain(part.table), err)
		}
	}
	for _, c := range s.consumers {
		s.status.Consumers = append(s.status.Consumers, *c)
	}
	slices.SortFunc(s.status.Consumers, func(a, b InboxConsumer) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return s.status, nil
}

// inboxLook is one reading of the status.
type inboxLook struct {
	inbox     *Inbox
	db        *sql.DB
	only      string // "": all consumers
	consumers map[string]*InboxConsumer
	status    InboxStatus
}

func (s *inboxLook) of(consumer string) *InboxConsumer {
	c := s.consumers[consumer]
	if c == nil {
		c = &InboxConsumer{Consumer: consumer, Parked: map[string]int64{}}
		s.consumers[consumer] = c
	}
	return c
}

// whereOnly is the condition on the consumer, with its argument.
func (s *inboxLook) whereOnly() (string, []any) {
	if s.only == "" {
		return "", nil
	}
	return " WHERE consumer = ?", []any{s.inbox.bytes(s.only)}
}

// each runs a query with {table} names, and scans every row into dest before it calls do.
func (s *inboxLook) each(ctx context.Context, query string, args []any, do func(), dest ...any) error {
	rows, err := s.db.QueryContext(ctx, s.inbox.text(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		do()
	}
	return rows.Err()
}

func (s *inboxLook) attempts(ctx context.Context) error {
	only, args := s.whereOnly()
	var consumer string
	var count int64
	var age sql.NullFloat64
	query := fmt.Sprintf("SELECT consumer, count(*), %s FROM (SELECT consumer, started_at FROM {inbox_attempts}%s LIMIT %d) AS counted GROUP BY consumer",
		ageOf(s.inbox.names, "min(started_at)"), only, CountLimit)
	return s.each(ctx, query, args, func() {
		c := s.of(consumer)
		c.Attempts, c.OldestAttempt = count, ago(age)
	}, &consumer, &count, &age)
}

func (s *inboxLook) parked(ctx context.Context) error {
	only, args := s.whereOnly()
	var consumer, state string
	var count int64
	var oldest time.Time
	var age sql.NullFloat64
	// The first rows have the lowest seq, and so the oldest are among them.
	query := fmt.Sprintf("SELECT consumer, state, count(*), %s, %s FROM (SELECT consumer, state, parked_at FROM {inbox_parked}%s ORDER BY seq LIMIT %d) AS counted GROUP BY consumer, state",
		s.inbox.names.TimeText("min(parked_at)"), ageOf(s.inbox.names, "min(parked_at)"), only, CountLimit)
	return s.each(ctx, query, args, func() {
		c := s.of(consumer)
		c.Parked[state] = count
		if c.OldestParked.IsZero() || oldest.Before(c.OldestParked) {
			c.OldestParked, c.ParkedAge = oldest, ago(age)
		}
	}, &consumer, &state, &count, (*momentText)(&oldest), &age)
}

func (s *inboxLook) blocked(ctx context.Context) error {
	only, args := s.whereOnly()
	var consumer string
	var count int64
	query := fmt.Sprintf("SELECT consumer, count(*) FROM (SELECT consumer FROM {inbox_blocked}%s LIMIT %d) AS counted GROUP BY consumer", only, CountLimit)
	return s.each(ctx, query, args, func() { s.of(consumer).BlockedKeys = count }, &consumer, &count)
}

func (s *inboxLook) holds(ctx context.Context) error {
	only, args := s.whereOnly()
	var h InboxHeld
	var age sql.NullFloat64
	read := func(groups string) error {
		query := "SELECT consumer, kafka_topic, kafka_partition, " + groups + ", next_offset, epoch, " + s.inbox.names.TimeText("updated_at") + ", " +
			ageOf(s.inbox.names, "updated_at") + " FROM {inbox_offsets}" + only + " ORDER BY consumer, kafka_topic, kafka_partition"
		return s.each(ctx, query, args, func() {
			s.of(h.Consumer)
			h.Age = ago(age)
			s.status.Holds = append(s.status.Holds, h)
		}, &h.Consumer, &h.Topic, &h.Partition, &h.Group, &h.TopicID, &h.Applied, &h.Next, &h.Epoch, (*momentText)(&h.UpdatedAt), &age)
	}
	err := read("COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset")
	if IsMissingColumn(err) { // an older build made the table
		err = read("'', '', NULL")
	}
	return err
}

// backfills are a replica's and no consumer's: with only one consumer they are left out.
func (s *inboxLook) backfills(ctx context.Context) error {
	if s.only != "" {
		return nil
	}
	var b InboxBackfill
	var age sql.NullFloat64
	query := "SELECT replica, run_id, sent, " + s.inbox.names.TimeText("heard_at") + ", " + ageOf(s.inbox.names, "heard_at") +
		" FROM {inbox_replica_runs} WHERE finished_at IS NULL ORDER BY replica, run_id"
	return s.each(ctx, query, nil, func() {
		b.Age = ago(age)
		s.status.Backfills = append(s.status.Backfills, b)
	}, &b.Replica, &b.RunID, &b.Sent, (*momentText)(&b.HeardAt), &age)
}

// ageOf writes how many microseconds ago a time was, by the database's clock.
func ageOf(n Names, column string) string {
	switch n.Dialect {
	case PostgreSQL:
		return "extract(epoch FROM clock_timestamp() - " + column + ") * 1000000"
	case MySQL:
		return "TIMESTAMPDIFF(MICROSECOND, " + column + ", utc_timestamp(6))"
	}
	return "(julianday('now') - julianday(" + column + ")) * 86400000000.0"
}

// ago reads what ageOf writes.
func ago(us sql.NullFloat64) time.Duration {
	return time.Duration(max(us.Float64, 0)) * time.Microsecond
}
