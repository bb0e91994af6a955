package dialect

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PostgreSQL's inbox_events in daily partitions, which are dropped instead of deleted. A
// unique key of a partitioned table contains the partition's column, so a copy of a message
// is recognised only where it lands in the same partition. The day is therefore taken from
// the message id and from nothing else: of a UUID of version 7 the day of its 48 bits of
// milliseconds (RFC 9562, 5.7), in UTC. A header, or the time of arrival, may be another one
// for the second copy, or missing. Ids of other forms have no day, and share one partition,
// which is purged row by row.

// noDay is the day of ids that have none.
const noDay = "1970-01-01"

// messageDay returns the day of a message id, as PostgreSQL's messageDayPostgres does.
func messageDay(id string) string {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' || id[18] != '-' || id[23] != '-' || !strings.ContainsRune("89ab", rune(id[19])) {
		return noDay
	}
	var b [16]byte
	digits := strings.ReplaceAll(id, "-", "")
	// An id in capitals is another id, and its own one each time: no day is as good as any.
	if len(digits) != 32 || digits != strings.ToLower(digits) {
		return noDay
	}
	if _, err := hex.Decode(b[:], []byte(digits)); err != nil {
		return noDay
	}
	ms := int64(b[0])<<40 | int64(b[1])<<32 | int64(b[2])<<24 | int64(b[3])<<16 | int64(b[4])<<8 | int64(b[5])
	if ms >= endOfDays {
		return noDay
	}
	return time.UnixMilli(ms).UTC().Format(time.DateOnly)
}

// endOfDays is the first millisecond of the year 10000.
const endOfDays = 253_402_300_800_000

// messageDayPostgres is messageDay of the column message_id, for the rows of a table that is
// converted. A test holds the two against each other.
const messageDayPostgres = `CASE WHEN message_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
  AND ('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint < 253402300800000
THEN DATE '1970-01-01' + (('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint / 86400000)::integer
ELSE DATE '1970-01-01' END`

const (
	insertMessageDaily = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
VALUES ($1, $2, $3, $4, $5, $6::text::date) ON CONFLICT (consumer, message_id, message_day) DO NOTHING RETURNING pg_current_xact_id()::text`

	insertMessagesDaily = `INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
SELECT $1, m.id, m.topic, m.part, m.pos, m.day
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[], $6::text::date[]) AS m (id, topic, part, pos, day)
ON CONFLICT (consumer, message_id, message_day) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text`

	// Of the partitions that are purged row by row only.
	removeDaily = `DELETE FROM {inbox_events}
WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_day = ANY ($3::text::date[]) AND message_id = ANY ($4::text::text[])`
)

// NewDailyInbox is NewInbox for a table in daily partitions, which PostgreSQL alone has.
func NewDailyInbox(n Names) (*Inbox, error) {
	i, err := NewInbox(n)
	if err != nil {
		return nil, err
	}
	if n.Dialect != PostgreSQL {
		return nil, errors.New("daily partitions: only PostgreSQL has them")
	}
	i.daily = true
	i.insert, i.insertAll, i.remove = n.Expand(insertMessageDaily), n.Expand(insertMessagesDaily), n.Expand(removeDaily)
	i.startAttempt = strings.Replace(startAttemptPostgres, "WHERE consumer = $1 AND message_id = $2)\n", "WHERE consumer = $1 AND message_id = $2 AND message_day = $6::text::date)\n", 1)
	return i, nil
}

func (i *Inbox) deleteDaily(ctx context.Context, db Execer, consumer string, age time.Duration, ids []string) (int64, error) {
	var days []string
	for _, id := range ids {
		if day := messageDay(id); !slices.Contains(days, day) {
			days = append(days, day)
		}
	}
	result, err := db.ExecContext(ctx, i.remove, consumer, i.age(age), textArray(days), textArray(ids))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// oldestDaily reads what has no day whole, as purging does, and of the days the first ones: a
// message is applied on its day or later, so a row that is older than a day's beginning ends
// the search. A producer whose clock is ahead of the database's can hide a row.
func (i *Inbox) oldestDaily(ctx context.Context, db Queryer, consumer string) (oldest time.Duration, err error) {
	look := func(where string) error {
		var us sql.NullFloat64
		query := "SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM " + where
		if err := i.one(ctx, db, []any{&us}, query, consumer); err != nil {
			return err
		}
		oldest = max(oldest, ago(us))
		return nil
	}
	for _, table := range []string{"{inbox_events_undated}", "{inbox_events_strays}"} {
		if err := look(table + " WHERE consumer = $1"); err != nil {
			return 0, err
		}
	}
	days, err := textColumn(ctx, db, i.names.Expand("SELECT "+partitionDay+"::text || ' ' || (extract(epoch FROM now() AT TIME ZONE 'UTC' - "+partitionDay+") * 1000000)::bigint "+partitionsPostgres+" ORDER BY 1"),
		i.names.Table(InboxEvents), dayPattern(i.names))
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		day, begun, _ := strings.Cut(day, " ")
		us, err := strconv.ParseInt(begun, 10, 64)
		if err != nil {
			return 0, err
		}
		if oldest > time.Duration(us)*time.Microsecond {
			break
		}
		if err := look("{inbox_events} WHERE consumer = $1 AND message_day = DATE " + literals(day)); err != nil {
			return 0, err
		}
	}
	return oldest, nil
}

// textArray writes an array literal.
func textArray(elements []string) string {
	if len(elements) == 0 {
		return "{}"
	}
	var b strings.Builder
	for n, e := range elements {
		b.WriteByte("{,"[min(n, 1)])
		quoteElement(&b, e)
	}
	return b.String() + "}"
}

// moved marks an error for IsSerialization. The server's text is in its own language, but a CHECK constraint that
// does not hold has a name, and a partition's bounds have none. (Of a driver that tells no names each counts as
// moved: what the columns' constraints refuse is refused before, by Message's check.)
func (i *Inbox) moved(err error) error {
	if i.daily && sqlState(err) == "23514" && constraintName(err) == "" {
		return movedPartition{Err: err}
	}
	return err
}

// IsOtherLayout reports whether a statement of the inbox was written for a table in daily
// partitions and met one without, or the other way round.
func IsOtherLayout(err error) bool {
	state := sqlState(err) // no unique constraint that fits ON CONFLICT; no such column
	return state == "42P10" || state == "42703" && strings.Contains(err.Error(), "message_day")
}
