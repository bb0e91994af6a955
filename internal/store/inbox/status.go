package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Status is what the inbox tables tell, by the database's clock.
type Status struct {
	Consumers  []Consumer  // by name
	Partitions []Partition // by consumer, topic and partition
	Backfills  []Backfill  // that a replica has heard of and that are not finished
	// Absent are default names of tables that are not there: an older build made the tables.
	Absent []string
}

// Consumer is what is known of one consumer.
type Consumer struct {
	Consumer string
	Rows     int64 // of inbox_events
	// Window is the age of its oldest row: how far back duplicates are recognised.
	Window time.Duration
	Oldest time.Time // when that row was applied; zero: there is none
	// Estimated: Rows and Window are from a part of the table. The window may be longer.
	Estimated bool

	Parked       map[string]int64 // by state; all together db.CountLimit means: or more
	OldestParked time.Time        // zero: none
	ParkedAge    time.Duration
	// ParkedAges has the age of the oldest parked message in each state.
	ParkedAges  map[string]time.Duration
	BlockedKeys int64 // at the most db.CountLimit

	Attempts      int64         // messages and batches that were begun and are not done; at the most db.CountLimit
	OldestAttempt time.Duration // since the oldest of them was last begun
}

// Partition is what is known of a partition of a Kafka topic.
type Partition struct {
	Consumer  string
	Topic     string
	Partition int32
	Group     string        // that reads it; empty: not known, as the next
	TopicID   string        // of the topic that the offsets are of
	Applied   sql.NullInt64 // all messages below it are done; not valid: not known
	// the position, where it is kept beside the data; not valid: it is not, or nothing was handled yet
	Next      sql.NullInt64
	Epoch     int64
	UpdatedAt time.Time
	Age       time.Duration // since the last move
}

// Backfill is a backfill that has not arrived whole.
type Backfill struct {
	Replica string
	RunID   string
	Sent    sql.NullInt64 // rows, by its end marker; not valid: that has not come
	HeardAt time.Time
	Age     time.Duration // since the replica first heard of it
}

// ReadStatus is Status for who needs no Store otherwise.
func ReadStatus(ctx context.Context, q db.Queryer, n db.Names, consumer string) (Status, error) {
	s, err := New(n)
	if err != nil {
		return Status{}, err
	}
	return s.Status(ctx, q, consumer)
}

// Status reads the state of the inbox, of one consumer if that is not empty, in
// a few statements without locks. However large inbox_events is, it reads a bounded part.
func (s *Store) Status(ctx context.Context, q db.Queryer, consumer string) (Status, error) {
	r := &statusReader{Store: s, q: q, only: consumer, consumers: map[string]*Consumer{}}
	for _, part := range []struct {
		table string
		late  bool // not in the first version of the tables
		read  func(context.Context) error
	}{
		{db.InboxEvents, false, r.readEvents}, {db.InboxAttempts, false, r.readAttempts},
		{db.InboxParked, false, r.readParked}, {db.InboxBlocked, false, r.readBlocked},
		{db.InboxOffsets, true, r.readPartitions}, {db.InboxRuns, true, r.readBackfills},
	} {
		err := part.read(ctx)
		if part.late && db.IsMissingTable(err) {
			r.status.Absent = append(r.status.Absent, part.table)
			continue
		}
		if err != nil {
			return Status{}, fmt.Errorf("read %s: %w", s.names.Plain(part.table), err)
		}
	}
	for _, c := range r.consumers {
		r.status.Consumers = append(r.status.Consumers, *c)
	}
	slices.SortFunc(r.status.Consumers, func(a, b Consumer) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return r.status, nil
}

// statusReader is one reading of the status.
type statusReader struct {
	*Store
	q         db.Queryer
	only      string // "": all consumers
	consumers map[string]*Consumer
	status    Status
}

func (r *statusReader) of(consumer string) *Consumer {
	c := r.consumers[consumer]
	if c == nil {
		c = &Consumer{Consumer: consumer, Parked: map[string]int64{}, ParkedAges: map[string]time.Duration{}}
		r.consumers[consumer] = c
	}
	return c
}

// each runs a query that has {condition}, that is, one on the consumer, and scans every row into dest before it calls
// do.
func (r *statusReader) each(ctx context.Context, query string, do func(), dest ...any) error {
	condition, args := "", []any(nil)
	if r.only != "" {
		condition, args = " "+r.sql.OfConsumer, r.keys(r.only)
	}
	query = db.Fill(query, db.Values{"condition": db.SQL(condition)})
	return eachInto(ctx, r.q, do, dest, query, args...)
}

// eachInto scans every row of a query into dest before it calls do.
func eachInto(ctx context.Context, q db.Querier, do func(), dest []any, query string, args ...any) error {
	return db.Each(ctx, q, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		do()
		return nil
	}, query, args...)
}

func (r *statusReader) readAttempts(ctx context.Context) error {
	var consumer string
	var count int64
	var age sql.NullFloat64
	return r.each(ctx, r.sql.StatusAttempts, func() {
		c := r.of(consumer)
		c.Attempts, c.OldestAttempt = count, microseconds(age)
	}, &consumer, &count, &age)
}

func (r *statusReader) readParked(ctx context.Context) error {
	var consumer, state string
	var count int64
	var oldest time.Time
	var age sql.NullFloat64
	return r.each(ctx, r.sql.StatusParked, func() {
		c := r.of(consumer)
		c.Parked[state], c.ParkedAges[state] = count, microseconds(age)
		if c.OldestParked.IsZero() || oldest.Before(c.OldestParked) {
			c.OldestParked, c.ParkedAge = oldest, microseconds(age)
		}
	}, &consumer, &state, &count, (*db.Moment)(&oldest), &age)
}

func (r *statusReader) readBlocked(ctx context.Context) error {
	var consumer string
	var count int64
	return r.each(ctx, r.sql.StatusBlocked, func() { r.of(consumer).BlockedKeys = count }, &consumer, &count)
}

func (r *statusReader) readPartitions(ctx context.Context) error {
	var p Partition
	var age sql.NullFloat64
	read := func(query string) error {
		return r.each(ctx, query, func() {
			r.of(p.Consumer)
			p.Age = microseconds(age)
			r.status.Partitions = append(r.status.Partitions, p)
		}, &p.Consumer, &p.Topic, &p.Partition, &p.Group, &p.TopicID, &p.Applied, &p.Next, &p.Epoch,
			(*db.Moment)(&p.UpdatedAt), &age)
	}
	err := read(r.sql.StatusOffsets)
	if db.IsMissingColumn(err) { // an older build made the table
		err = read(r.sql.StatusOffsetsOlder)
	}
	return err
}

// readBackfills reads what is a replica's and no consumer's: with only one consumer it is left out.
func (r *statusReader) readBackfills(ctx context.Context) error {
	if r.only != "" {
		return nil
	}
	var b Backfill
	var age sql.NullFloat64
	return eachInto(ctx, r.q, func() {
		b.Age = microseconds(age)
		r.status.Backfills = append(r.status.Backfills, b)
	}, []any{&b.Replica, &b.RunID, &b.Sent, (*db.Moment)(&b.HeardAt), &age}, r.sql.StatusBackfills)
}
