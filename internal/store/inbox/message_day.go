package inbox

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
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

// messageDay returns the day of a message id, as the part MessageDay of postgres.sql does.
func messageDay(id string) string {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' || id[18] != '-' || id[23] != '-' ||
		!strings.ContainsRune("89ab", rune(id[19])) {
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

// oldestDaily reads what has no day whole, as purging does, and of the days the first ones: a
// message is applied on its day or later, so a row that is older than a day's beginning ends
// the search. A producer whose clock is ahead of the database's can hide a row.
func (s *Store) oldestDaily(ctx context.Context, q db.Queryer, consumer string) (oldest time.Duration, err error) {
	read := func(query string) error {
		age, err := s.oldest(ctx, q, query, consumer)
		oldest = max(oldest, age)
		return err
	}
	for _, query := range []string{s.daily.OldestUndated, s.daily.OldestStray} {
		if err := read(query); err != nil {
			return 0, err
		}
	}
	days, err := texts(ctx, q, s.daily.DayAges, s.names.Table(db.InboxEvents), dayPattern(s.names))
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
		if err := read(db.Fill(s.daily.OldestOfDay, db.Values{"day": literal(day)})); err != nil {
			return 0, err
		}
	}
	return oldest, nil
}

// moved marks an error for db.IsSerialization. The server's text is in its own language, but a CHECK constraint that
// does not hold has a name, and a partition's bounds have none. (If a driver tells no names, each such
// error counts as moved: Message's check has already rejected what the columns' constraints would reject.)
func (s *Store) moved(err error) error {
	if s.hasDaily && db.SQLState(err) == "23514" && db.ConstraintName(err) == "" {
		return db.MovedPartition{Err: err}
	}
	return err
}

// IsOtherLayout reports whether a statement of the inbox was written for a table in daily
// partitions and met one without, or the other way round.
func IsOtherLayout(err error) bool {
	state := db.SQLState(err) // no unique constraint that fits ON CONFLICT; no such column
	return state == "42P10" || state == "42703" && strings.Contains(err.Error(), "message_day")
}
