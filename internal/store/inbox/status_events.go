package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// countedRows is up to how many rows of a consumer are looked at one by one; of more, a
// sample tells. It is what an index and as many visits of the table read in well under a second.
// StatusEvents counts up to one more.
const countedRows = 20_000

// sampleBlocks bounds the sample: 32 MiB of blocks of 8 KiB.
const sampleBlocks = 4096

// countedTo is the limit in StatusEvents: a consumer that has so many rows may have more.
func countedTo(d db.Dialect) int64 {
	return db.For[int64](d, countedRows+1, countedRows+1, math.MaxInt32)
}

// readEvents reads how many rows each consumer has, and how old the oldest is.
func (r *statusReader) readEvents(ctx context.Context) error {
	large := map[string]bool{}
	read := func(consumer string) error {
		var rows int64
		var oldest time.Time
		var age sql.NullFloat64
		dest := []any{&rows, (*db.Moment)(&oldest), &age}
		err := one(ctx, r.q, dest, r.sql.StatusEvents, r.names.KeyArg(consumer))
		if err != nil || rows == 0 {
			return err
		}
		c := r.of(consumer)
		c.Rows, c.Oldest, c.Window = rows, oldest, microseconds(age)
		if rows == countedTo(r.names.Dialect) {
			large[consumer] = true
		}
		return nil
	}
	err := error(nil)
	if r.only != "" {
		err = read(r.only)
	} else {
		err = r.eachConsumer(ctx, r.q, read)
	}
	if err != nil || len(large) == 0 {
		return err
	}
	return db.For(r.names.Dialect, r.sample, r.estimate,
		func(context.Context, map[string]bool) error { return nil })(ctx, large)
}

// sample estimates from some blocks of the table, chosen at random: PostgreSQL has no index
// on processed_at (see Expired in postgres.sql), and counting reads the whole table.
func (r *statusReader) sample(ctx context.Context, large map[string]bool) error {
	var blocks int64
	if err := one(ctx, r.q, []any{&blocks}, r.postgres.SampleBlocks, r.names.Table(db.InboxEvents)); err != nil {
		return err
	}
	percent := min(100, 100*sampleBlocks/float64(max(blocks, 1)))
	var consumer string
	var rows int64
	var oldest time.Time
	var age sql.NullFloat64
	query := db.Fill(r.postgres.SampleEvents, db.Values{"percent": db.SQL(fmt.Sprintf("%f", percent))})
	return eachInto(ctx, r.q, func() {
		if !large[consumer] {
			return
		}
		c := r.of(consumer)
		c.Rows = max(c.Rows, int64(float64(rows)*100/percent))
		c.Estimated = percent < 100
		if oldest.Before(c.Oldest) {
			c.Oldest, c.Window = oldest, microseconds(age)
		}
	}, []any{&consumer, &rows, (*db.Moment)(&oldest), &age}, query)
}

// estimate asks MySQL's optimizer how many rows it expects. The oldest is known exactly, from the same index.
func (r *statusReader) estimate(ctx context.Context, large map[string]bool) error {
	for consumer := range large {
		var expected int64
		err := db.Each(ctx, r.q, func(rows *sql.Rows) error {
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			values := make([]any, len(columns))
			for at, name := range columns {
				values[at] = new(sql.RawBytes)
				if strings.EqualFold(name, "rows") {
					values[at] = &expected
				}
			}
			return rows.Scan(values...)
		}, r.mysql.EstimateEvents, r.names.KeyArg(consumer))
		if err != nil {
			return err
		}
		c := r.of(consumer)
		c.Rows, c.Estimated = max(c.Rows, expected), true
	}
	return nil
}
