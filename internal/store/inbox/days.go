package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Days makes and drops the daily partitions of inbox_events. Safe for concurrent use, in
// many processes.
//
// A day is dropped in two steps, of which each holds its locks for a moment only:
//
//  1. Under a lock of the day's partition that keeps writers out and lets readers in, every
//     row is checked against what the consumers have written into inbox_expiry; if none is needed, the partition
//     is truncated. Writers of other days do not notice.
//  2. Under a lock of the whole table an empty partition is dropped; nothing is read.
//
// Were the rows checked without the lock, a copy of an old message could be accepted between
// the check and the TRUNCATE: its row, minutes old, would be lost, and the next copy applied
// again (hazard dropped-day).
type Days struct {
	*Store
	lockTimeout time.Duration
}

// Days returns the days of a table that has them, on PostgreSQL. No statement waits for a lock
// longer than lockTimeout, and so no writer behind it.
func (s *Store) Days(lockTimeout time.Duration) *Days {
	return &Days{Store: s, lockTimeout: lockTimeout}
}

// Day is what became of a day's partition.
type Day struct {
	Day  string // 2026-11-24
	Rows int64  // that it had
	// Done: the partition was made, or dropped; Emptied: its rows are gone, and the partition
	// is dropped next time.
	Done, Emptied bool
	Reason        string // why not
}

// Create makes the partitions of today and of so many days to come that are not there. A
// day that cannot be made now has a reason; its messages go to the default partition.
func (d *Days) Create(ctx context.Context, pool *sql.DB, days int) ([]Day, error) {
	missing, err := texts(ctx, pool, d.daily.MissingDays, days,
		strings.TrimSuffix(d.names.Table(db.InboxDay), `"`), `"`)
	if err != nil {
		return nil, err
	}
	var made []Day
	for _, day := range missing {
		p := d.partitioning(ctx)
		err := p.inTx(pool, d.lockTimeout, func() error {
			p.attach(day)
			return p.err
		})
		is := Day{Day: day, Done: err == nil}
		switch {
		case err == nil:
		case db.SQLState(err) == "23514":
			is.Reason = "messages of this day are in " + d.names.Plain(db.InboxStrays) +
				" already, and stay there: they are purged row by row"
		case db.SQLState(err) == "42P07":
			continue // another process made it meanwhile
		case db.SQLState(err) == "55P03":
			is.Reason = "a writer held a lock for longer than " + d.lockTimeout.String()
		default:
			return made, fmt.Errorf("make the partition of %s: %w", day, err)
		}
		made = append(made, is)
	}
	return made, nil
}

// dayPattern matches the names of the days' partitions.
func dayPattern(n db.Names) string { return "^" + n.Prefix + db.InboxDay + "[0-9]{8}$" }

// Ended lists the partitions of days before today that ended longer than age ago.
func (d *Days) Ended(ctx context.Context, q db.Queryer, age time.Duration) ([]string, error) {
	return texts(ctx, q, d.daily.EndedDays,
		d.names.Table(db.InboxEvents), dayPattern(d.names), float64(age.Microseconds()))
}

// Check says how many rows a day has, and what keeps them.
func (d *Days) Check(ctx context.Context, q db.Queryer, day string) (Day, error) {
	is := Day{Day: day}
	groups, err := d.Groups(ctx, q, day)
	for _, g := range groups {
		is.Rows += g.Rows
		if is.Reason == "" {
			is.Reason = g.keptBecause()
		}
	}
	return is, err
}

// Drop drops a day of which nobody needs a row any more, or says why not.
func (d *Days) Drop(ctx context.Context, pool *sql.DB, day string) (is Day, err error) {
	check := func(tx db.Queryer) (err error) { // the rows as they are now
		is, err = d.Check(ctx, tx, day)
		return err
	}
	// Without a lock first: most days that stay are found so, and writers do not notice.
	if err := check(pool); err != nil || is.Reason != "" {
		return is, d.reasonOf(&is, err)
	}
	if is.Rows > 0 {
		if err := d.empty(ctx, pool, &is, check); err != nil || is.Reason != "" {
			return is, d.reasonOf(&is, err)
		}
		is.Emptied = true
	}
	err = d.dropEmpty(ctx, pool, &is)
	is.Done = err == nil && is.Reason == ""
	return is, d.reasonOf(&is, err)
}

// empty truncates a day's partition, unless the check under the lock has found a reason not to.
func (d *Days) empty(ctx context.Context, pool *sql.DB, is *Day, check func(tx db.Queryer) error) error {
	p, table := d.partitioning(ctx), d.dayTable(is.Day)
	return p.inTx(pool, d.lockTimeout, func() error {
		p.exec(db.Fill(d.daily.LockDay, table))
		if p.err == nil {
			p.err = check(p.tx)
		}
		if p.err == nil && is.Reason == "" {
			p.exec(db.Fill(d.daily.TruncateDay, table))
		}
		return p.err
	})
}

// dropEmpty drops a day's partition, unless it has a row again.
func (d *Days) dropEmpty(ctx context.Context, pool *sql.DB, is *Day) error {
	p, table := d.partitioning(ctx), d.dayTable(is.Day)
	return p.inTx(pool, d.lockTimeout, func() error {
		p.exec(d.daily.LockAllDays)
		var again bool
		if p.err == nil {
			p.err = one(ctx, p.tx, []any{&again}, db.Fill(d.daily.DayHasRows, table))
		}
		if again {
			is.Reason = "a message of this day was applied meanwhile"
			return nil
		}
		p.exec(db.Fill(d.daily.DropDay, table))
		return p.err
	})
}

// reasonOf turns errors that are no failure into a reason.
func (d *Days) reasonOf(is *Day, err error) error {
	switch {
	case err == nil:
		return nil
	case db.IsSerialization(err):
		is.Reason = "a reader or writer held a lock for longer than " + d.lockTimeout.String()
		return nil
	case db.IsMissingTable(err):
		is.Reason = "another process dropped it meanwhile"
		return nil
	}
	return fmt.Errorf("drop the day %s: %w", is.Day, err)
}
