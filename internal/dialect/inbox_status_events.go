package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// inboxExact is up to how many rows of a consumer are looked at one by one; of more, a
// sample tells. It is what an index and as many visits of the table read in well under a second.
const inboxExact = 20_000

// sampleBlocks bounds the sample: 32 MiB of blocks of 8 KiB.
const sampleBlocks = 4096

// events reads how many rows each consumer has, and how old the oldest is.
func (s *inboxLook) events(ctx context.Context) error {
	large := map[string]bool{}
	look := func(consumer string) error {
		var rows int64
		var oldest time.Time
		var age sql.NullFloat64
		n := s.inbox.names
		query := fmt.Sprintf("SELECT count(*), %s, %s FROM (SELECT processed_at FROM {inbox_events} WHERE consumer = ?%s LIMIT %d) AS counted",
			n.TimeText("min(processed_at)"), ageOf(n, "min(processed_at)"), s.oldestFirst(), s.exact())
		err := s.inbox.one(ctx, s.db, []any{&rows, (*momentText)(&oldest), &age}, s.inbox.text(query), s.inbox.bytes(consumer))
		if err != nil || rows == 0 {
			return err
		}
		c := s.of(consumer)
		c.Rows, c.Oldest, c.Window = rows, oldest, ago(age)
		large[consumer] = rows == int64(s.exact())
		return nil
	}
	if s.only != "" {
		if err := look(s.only); err != nil {
			return err
		}
	} else {
		next, more, err := s.inbox.nextConsumer(ctx, s.db, "")
		for ; err == nil && more; next, more, err = s.inbox.nextConsumer(ctx, s.db, next) {
			if err := look(next); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	for consumer, is := range large {
		if !is {
			delete(large, consumer)
		}
	}
	switch {
	case len(large) == 0:
		return nil
	case s.inbox.names.Dialect == PostgreSQL:
		return s.sample(ctx, large)
	case s.inbox.names.Dialect == MySQL:
		return s.explain(ctx, large)
	}
	return nil
}

// oldestFirst is the order where an index has it.
func (s *inboxLook) oldestFirst() string {
	if s.inbox.names.Dialect == PostgreSQL {
		return ""
	}
	return " ORDER BY processed_at"
}

// exact is up to how many rows are counted. SQLite has no estimate, and counts by an index
// of a file that is on this host.
func (s *inboxLook) exact() int {
	if s.inbox.names.Dialect == SQLite {
		return math.MaxInt32
	}
	return inboxExact + 1
}

// sample estimates from some blocks of the table, chosen at random: PostgreSQL has no index
// on processed_at (see blocksPostgres), and counting reads the whole table.
func (s *inboxLook) sample(ctx context.Context, large map[string]bool) error {
	var blocks int64
	if err := s.inbox.one(ctx, s.db, []any{&blocks}, inboxBlocksPostgres, s.inbox.names.Table(InboxEvents)); err != nil {
		return err
	}
	percent := min(100, 100*sampleBlocks/float64(max(blocks, 1)))
	var consumer string
	var rows int64
	var oldest time.Time
	var age sql.NullFloat64
	// Repeatable: who asks twice sees what changed, and not another sample.
	query := fmt.Sprintf("SELECT consumer, count(*), %s, %s FROM {inbox_events} TABLESAMPLE SYSTEM (%f) REPEATABLE (1) GROUP BY consumer",
		s.inbox.names.TimeText("min(processed_at)"), ageOf(s.inbox.names, "min(processed_at)"), percent)
	return s.each(ctx, query, nil, func() {
		if !large[consumer] {
			return
		}
		c := s.of(consumer)
		c.Rows = max(c.Rows, int64(float64(rows)*100/percent))
		c.Estimated = percent < 100
		if oldest.Before(c.Oldest) {
			c.Oldest, c.Window = oldest, ago(age)
		}
	}, &consumer, &rows, (*momentText)(&oldest), &age)
}

// inboxBlocksPostgres is the size of the table and of its partitions, in blocks.
const inboxBlocksPostgres = `SELECT COALESCE((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree($1::text::regclass)), pg_relation_size($1::text::regclass))::bigint
/ current_setting('block_size')::bigint`

// explain asks the optimizer how many rows it expects: it looks into the index, and takes
// no longer for a large table. The oldest is known exactly, from the same index.
func (s *inboxLook) explain(ctx context.Context, large map[string]bool) error {
	for consumer := range large {
		rows, err := s.db.QueryContext(ctx, s.inbox.text("EXPLAIN SELECT message_id FROM {inbox_events} WHERE consumer = ?"), s.inbox.bytes(consumer))
		if err != nil {
			return err
		}
		estimate, err := explainedRows(rows)
		if err != nil {
			return err
		}
		c := s.of(consumer)
		c.Rows, c.Estimated = max(c.Rows, estimate), true
	}
	return nil
}

// explainedRows reads the column rows of an EXPLAIN, and closes it.
func explainedRows(found *sql.Rows) (n int64, err error) {
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return 0, err
	}
	values := make([]any, len(columns))
	for at, name := range columns {
		values[at] = new(sql.RawBytes)
		if strings.EqualFold(name, "rows") {
			values[at] = &n
		}
	}
	if found.Next() {
		err = found.Scan(values...)
	}
	if err == nil {
		err = found.Err()
	}
	return n, err
}
