package inbox

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// MaxBatch is the most ids that DeleteMessages takes: SQLite allows 32,766
// parameters in a statement.
const MaxBatch = 30_000

// Expired is a row of inbox_events that is older than the retention.
type Expired struct {
	MessageID string
	Position  *Position
}

// Cursor says how far a walk over the expired rows has come. Its zero value is the start.
type Cursor struct {
	done bool
	// PostgreSQL: the next block of the table, and how many there were at the start.
	started       bool
	block, blocks int64
	table         int // of those that the rows are in
	// Elsewhere: the last row, in the order of the index.
	processedAt, messageID string
}

// Done reports whether the walk has seen every row that was expired when it began.
func (c Cursor) Done() bool { return c.done }

// ExpiredMessages returns the next rows of consumer that are older than age by the
// database's clock, and where to go on from. There may be none although the walk is
// not done. limit bounds their number, except on PostgreSQL, where it is bounded by
// the size of the part of the table that is read.
func (s *Store) ExpiredMessages(ctx context.Context, q db.Queryer, consumer string, age time.Duration, from Cursor,
	limit int,
) ([]Expired, Cursor, error) {
	if s.names.Dialect == db.PostgreSQL {
		return s.expiredByBlock(ctx, q, consumer, age, from)
	}
	return s.expiredByIndex(ctx, q, consumer, age, from, limit)
}

// pieceBlocks is 1 MiB of blocks of 8 KiB: some 10,000 rows.
const pieceBlocks = 128

// expiredTable is a table that is purged row by row.
type expiredTable struct{ name, expired string }

func (s *Store) expiredTables() []expiredTable {
	if s.hasDaily { // the days are dropped whole
		return []expiredTable{{db.InboxUndated, s.daily.ExpiredUndated}, {db.InboxStrays, s.daily.ExpiredStrays}}
	}
	return []expiredTable{{db.InboxEvents, s.sql.Expired}}
}

func (s *Store) expiredByBlock(ctx context.Context, q db.Queryer, consumer string, age time.Duration, from Cursor) (
	[]Expired, Cursor, error,
) {
	tables, next := s.expiredTables(), from
	table := tables[from.table]
	if !next.started {
		if err := one(ctx, q, []any{&next.blocks}, s.postgres.TableBlocks, s.names.Table(table.name)); err != nil {
			return nil, from, err
		}
		next.started = true
	}
	first := tid(next.block)
	next.block += pieceBlocks
	expired, _, err := readExpired(ctx, q, table.expired, consumer, s.ageArg(age), first, tid(next.block))
	if err != nil {
		return nil, from, err
	}
	if next.block >= next.blocks {
		next = Cursor{table: next.table + 1, done: next.table+1 == len(tables)}
	}
	return expired, next, nil
}

func tid(block int64) string { return "(" + strconv.FormatInt(block, 10) + ",0)" }

func (s *Store) expiredByIndex(ctx context.Context, q db.Queryer, consumer string, age time.Duration, from Cursor,
	limit int,
) ([]Expired, Cursor, error) {
	after := from.processedAt
	if after == "" {
		after = "1000-01-01 00:00:00.000000" // before any time of either database, as a time and as text
	}
	expired, last, err := readExpired(ctx, q, s.sql.Expired,
		s.names.KeyArg(consumer), s.ageArg(age), after, after, s.names.KeyArg(from.messageID), limit)
	if err != nil {
		return nil, from, err
	}
	next := Cursor{done: len(expired) < limit, processedAt: last}
	if len(expired) > 0 {
		next.messageID = expired[len(expired)-1].MessageID
	}
	return expired, next, nil
}

// readExpired reads expired rows; last is the time of the last one, as text.
func readExpired(ctx context.Context, q db.Queryer, query string, args ...any) (
	expired []Expired, last string, err error,
) {
	err = db.Each(ctx, q, func(rows *sql.Rows) error {
		var m Expired
		var at nullPosition
		err := rows.Scan(&m.MessageID, &at.topic, &at.partition, &at.offset, &last)
		m.Position = at.value()
		expired = append(expired, m)
		return err
	}, query, args...)
	return expired, last, err
}

// DeleteMessages deletes those of the consumer's ids, at most MaxBatch, that are
// still older than age, and returns how many they were.
func (s *Store) DeleteMessages(ctx context.Context, q db.Execer, consumer string, age time.Duration, ids []string) (
	int64, error,
) {
	if len(ids) == 0 {
		return 0, nil
	}
	args := []any{s.names.KeyArg(consumer), s.ageArg(age)}
	if s.hasDaily {
		var days []string
		for _, id := range ids {
			if day := messageDay(id); !slices.Contains(days, day) {
				days = append(days, day)
			}
		}
		return affected(ctx, q, s.daily.DeleteMessagesDaily, append(args, textArray(days), textArray(ids))...)
	}
	query := db.Fill(s.sql.DeleteMessages, db.Values{"ids": s.list(2, len(ids))})
	return affected(ctx, q, query, append(args, s.keys(ids...)...)...)
}

// ageArg is the parameter that the dialect's statements take for a duration.
func (s *Store) ageArg(d time.Duration) any {
	seconds := "-" + strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + " seconds" // a modifier of SQLite's date functions
	return db.For[any](s.names.Dialect, float64(d.Microseconds()), d.Microseconds(), seconds)
}

// OldestMessage returns the age of the consumer's oldest row, 0 if there is none.
func (s *Store) OldestMessage(ctx context.Context, q db.Queryer, consumer string) (time.Duration, error) {
	if s.hasDaily {
		return s.oldestDaily(ctx, q, consumer)
	}
	return s.oldest(ctx, q, s.sql.OldestMessage, consumer)
}

func (s *Store) oldest(ctx context.Context, q db.Queryer, query, consumer string) (time.Duration, error) {
	var us sql.NullFloat64
	err := one(ctx, q, []any{&us}, query, s.names.KeyArg(consumer))
	return microseconds(us), err
}

// microseconds is an age that the database has computed; NULL, and what a clock that was set back gives, is zero.
func microseconds(us sql.NullFloat64) time.Duration {
	return time.Duration(max(us.Float64, 0)) * time.Microsecond
}

// ParkedIDs returns which of the ids are those of parked messages. It reads the parked ones of the consumer once.
func (s *Store) ParkedIDs(ctx context.Context, q db.Queryer, consumer string, ids []string) (map[string]bool, error) {
	query := db.Fill(s.sql.ParkedIDs, db.Values{"ids": s.list(1, len(ids))})
	found, err := texts(ctx, q, query, append(s.keys(consumer), s.keys(ids...)...)...)
	if err != nil {
		return nil, err
	}
	parked := make(map[string]bool, len(found))
	for _, id := range found {
		parked[id] = true
	}
	return parked, nil
}
