package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// InboxDays makes and drops the daily partitions of inbox_events. Safe for concurrent use, in
// many processes.
//
// A day is dropped in two steps, of which each holds its locks for a moment only:
//
//  1. Under a lock of the day's partition that keeps writers out and lets readers in, every
//     row is judged by the rules that the consumers have told; if none is needed, the partition
//     is truncated. Writers of other days do not notice.
//  2. Under a lock of the whole table an empty partition is dropped; nothing is read.
//
// Were the rows judged without the lock, a copy of an old message could be accepted between
// the look and the TRUNCATE: its row, minutes old, would be lost, and the next copy applied
// again (hazard dropped-day).
type InboxDays struct {
	names       Names
	lockTimeout time.Duration
}

// NewInboxDays returns the days of a table that has them. No statement waits for a lock
// longer than lockTimeout, and so no writer behind it.
func NewInboxDays(n Names, lockTimeout time.Duration) *InboxDays {
	return &InboxDays{names: n, lockTimeout: lockTimeout}
}

// InboxDay is what became of a day's partition.
type InboxDay struct {
	Day  string // 2026-11-24
	Rows int64  // that it had
	// Done: the partition was made, or dropped; Emptied: its rows are gone, and the partition
	// is dropped next time.
	Done, Emptied bool
	Reason        string // why not
}

// Ahead makes the partitions of today and of so many days to come that are not there. A
// day that cannot be made now has a reason; its messages go to the default partition.
func (d *InboxDays) Ahead(ctx context.Context, db *sql.DB, days int) ([]InboxDay, error) {
	missing, err := textColumn(ctx, db, d.names.Expand(`SELECT day::text FROM (SELECT (now() AT TIME ZONE 'UTC')::date + d AS day FROM generate_series(0, $1::int) AS d) AS wanted
WHERE to_regclass($2::text || to_char(day, 'YYYYMMDD') || $3::text) IS NULL ORDER BY 1`), days, strings.TrimSuffix(d.names.Table(inboxDay), `"`), `"`)
	if err != nil {
		return nil, err
	}
	var made []InboxDay
	for _, day := range missing {
		p := partitioning{names: d.names, ctx: ctx}
		err := p.inTx(db, d.lockTimeout, func() error {
			p.attach(day)
			return p.err
		})
		is := InboxDay{Day: day, Done: err == nil}
		switch {
		case err == nil:
		case sqlState(err) == "23514":
			is.Reason = "messages of this day are in " + d.names.Plain(inboxStrays) + " already, and stay there: they are purged row by row"
		case sqlState(err) == "42P07":
			continue // another process made it meanwhile
		case sqlState(err) == "55P03":
			is.Reason = "a writer held a lock for longer than " + d.lockTimeout.String()
		default:
			return made, fmt.Errorf("make the partition of %s: %w", day, err)
		}
		made = append(made, is)
	}
	return made, nil
}

// The partitions of days, by their names, and the day of each.
const (
	partitionsPostgres = "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass AND c.relname ~ $2::text"
	partitionDay       = "to_date(right(c.relname, 8), 'YYYYMMDD')"
)

func dayPattern(n Names) string { return "^" + n.Prefix + inboxDay + "[0-9]{8}$" }

// Before lists the partitions of days before today that ended longer than age ago.
func (d *InboxDays) Before(ctx context.Context, db Queryer, age time.Duration) ([]string, error) {
	return textColumn(ctx, db, "SELECT "+partitionDay+"::text "+partitionsPostgres+`
  AND `+partitionDay+` + 1 <= (now() AT TIME ZONE 'UTC' - $3 * interval '1 microsecond')::date
  AND `+partitionDay+` < (now() AT TIME ZONE 'UTC')::date ORDER BY 1`,
		d.names.Table(InboxEvents), dayPattern(d.names), float64(age.Microseconds()))
}

// InboxGroup are the rows of one consumer and one Kafka partition in a day.
type InboxGroup struct {
	Consumer  string
	Position  *InboxPosition // with the highest offset; nil: rows without a position
	Rows      int64
	Youngest  time.Duration // since the last of them was applied
	Told      bool          // the consumer has told what it needs
	ToldAgo   time.Duration
	Retention time.Duration
	Below     sql.NullInt64
}

// toldFor is for how long a consumer's word counts. What a group has committed may go back
// while the consumer is down, by an operator's hand or because the topic was made anew: so
// nobody drops for long what a consumer that is down may read again, and nobody drops rows
// that are younger than the consumer's word.
const toldFor = 24 * time.Hour

// why says what keeps the group's rows, "" for nothing.
func (g InboxGroup) why() string {
	switch {
	case !g.Told && g.Position == nil:
		return fmt.Sprintf("consumer %q has not told for how long it needs its rows: does its KeepPruned run?", g.Consumer)
	case !g.Told:
		return fmt.Sprintf("consumer %q has not told how far it is in %s/%d: does its KeepPruned run?", g.Consumer, g.Position.Topic, g.Position.Partition)
	case g.Youngest < g.Retention:
		return fmt.Sprintf("consumer %q applied a message %s ago, and keeps rows for %s", g.Consumer, g.Youngest.Round(time.Second), g.Retention)
	case g.ToldAgo >= g.Youngest || g.ToldAgo > toldFor:
		return fmt.Sprintf("consumer %q has told nothing for %s: does its KeepPruned run?", g.Consumer, g.ToldAgo.Round(time.Second))
	case g.Position != nil && (!g.Below.Valid || g.Position.Offset >= g.Below.Int64):
		return fmt.Sprintf("consumer %q may read offset %d of %s/%d again: its group has not committed far enough beyond", g.Consumer, g.Position.Offset, g.Position.Topic, g.Position.Partition)
	}
	return ""
}

// Groups reads a day's rows, with what their consumers have told. Through the whole table,
// which prunes all other partitions: a consumer has no rights on the day's own.
func (d *InboxDays) Groups(ctx context.Context, db Queryer, day string) ([]InboxGroup, error) {
	rows, err := db.QueryContext(ctx, d.names.Expand(`SELECT g.*, e.retention, e.below, (extract(epoch FROM clock_timestamp() - e.told_at) * 1000000)::bigint FROM (
  SELECT consumer, kafka_topic, kafka_partition, max(kafka_offset), count(*), (extract(epoch FROM clock_timestamp() - max(processed_at)) * 1000000)::bigint
  FROM {inbox_events} WHERE message_day = DATE `+literals(day)+` GROUP BY 1, 2, 3) AS g (consumer, topic, part, pos, n, youngest)
LEFT JOIN {inbox_expiry} e ON e.consumer = g.consumer AND e.kafka_topic = COALESCE(g.topic, '') AND e.kafka_partition = COALESCE(g.part, -1)
ORDER BY g.consumer, g.topic, g.part`))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []InboxGroup
	for rows.Next() {
		var g InboxGroup
		var topic sql.NullString
		var part sql.NullInt32
		var pos, retention sql.NullInt64
		var youngest int64
		var told sql.NullInt64
		if err := rows.Scan(&g.Consumer, &topic, &part, &pos, &g.Rows, &youngest, &retention, &g.Below, &told); err != nil {
			return nil, err
		}
		if topic.Valid {
			g.Position = &InboxPosition{Topic: topic.String, Partition: part.Int32, Offset: pos.Int64}
		}
		g.Youngest, g.Told = time.Duration(youngest)*time.Microsecond, retention.Valid
		g.ToldAgo = time.Duration(told.Int64) * time.Microsecond
		g.Retention = time.Duration(retention.Int64) * time.Microsecond
		all = append(all, g)
	}
	return all, rows.Err()
}

// Tell records that the consumer no longer needs rows that are older than retention and, of
// a Kafka partition, below an offset. at is nil for its rows without a position.
func (d *InboxDays) Tell(ctx context.Context, db Execer, consumer string, retention time.Duration, at *InboxPosition, below int64) error {
	topic, part, limit := "", int32(-1), sql.NullInt64{}
	if at != nil {
		topic, part, limit = at.Topic, at.Partition, sql.NullInt64{Int64: below, Valid: true}
	}
	_, err := db.ExecContext(ctx, d.names.Expand(`INSERT INTO {inbox_expiry} AS e (consumer, kafka_topic, kafka_partition, retention, below) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET retention = EXCLUDED.retention, below = EXCLUDED.below, told_at = clock_timestamp()`),
		consumer, topic, part, retention.Microseconds(), limit)
	return err
}

// Judge says how many rows a day has, and what keeps them.
func (d *InboxDays) Judge(ctx context.Context, db Queryer, day string) (InboxDay, error) {
	is := InboxDay{Day: day}
	groups, err := d.Groups(ctx, db, day)
	for _, g := range groups {
		is.Rows += g.Rows
		if is.Reason == "" {
			is.Reason = g.why()
		}
	}
	return is, err
}

// Shortest returns the shortest retention that a consumer has told, 0 if none has.
func (d *InboxDays) Shortest(ctx context.Context, db Queryer) (time.Duration, error) {
	rows, err := db.QueryContext(ctx, d.names.Expand("SELECT COALESCE(min(retention), 0) FROM {inbox_expiry}"))
	if err != nil {
		return 0, err
	}
	var us int64
	err = scanOne(rows, &us)
	return time.Duration(us) * time.Microsecond, err
}

// Drop drops a day of which nobody needs a row any more, or says why not.
func (d *InboxDays) Drop(ctx context.Context, db *sql.DB, day string) (is InboxDay, err error) {
	is = InboxDay{Day: day}
	look := func(tx Queryer) (err error) { // judges the rows as they are now
		is, err = d.Judge(ctx, tx, day)
		return err
	}
	// Without a lock first: most days that stay are found so, and writers do not notice.
	if err := look(db); err != nil || is.Reason != "" {
		return is, d.gone(&is, err)
	}
	if is.Rows > 0 {
		p := partitioning{names: d.names, ctx: ctx}
		err := p.inTx(db, d.lockTimeout, func() error {
			p.exec("LOCK TABLE " + d.names.Table(dayTable(day)) + " IN SHARE ROW EXCLUSIVE MODE")
			if p.err == nil {
				p.err = look(p.tx)
			}
			if p.err == nil && is.Reason == "" {
				p.exec("TRUNCATE " + d.names.Table(dayTable(day)))
			}
			return p.err
		})
		if err != nil || is.Reason != "" {
			return is, d.gone(&is, err)
		}
		is.Emptied = true
	}
	p := partitioning{names: d.names, ctx: ctx}
	err = p.inTx(db, d.lockTimeout, func() error {
		p.exec("LOCK TABLE ONLY {inbox_events} IN ACCESS EXCLUSIVE MODE")
		var again bool
		if p.err == nil {
			p.err = p.tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM "+d.names.Table(dayTable(day))+")").Scan(&again)
		}
		if again {
			is.Reason = "a message of this day was applied meanwhile"
			return nil
		}
		p.exec("DROP TABLE " + d.names.Table(dayTable(day)))
		return p.err
	})
	is.Done = err == nil && is.Reason == ""
	return is, d.gone(&is, err)
}

// gone turns errors that are no failure into a reason.
func (d *InboxDays) gone(is *InboxDay, err error) error {
	switch {
	case err == nil:
		return nil
	case IsSerialization(err):
		is.Reason = "a reader or writer held a lock for longer than " + d.lockTimeout.String()
		return nil
	case IsMissingTable(err):
		is.Reason = "another process dropped it meanwhile"
		return nil
	}
	return fmt.Errorf("drop the day %s: %w", is.Day, err)
}
