package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// DaysAhead is for how many days after today Prune creates partitions. If Prune does not run for longer, messages
// of later days go to the partition that is purged row by row.
const DaysAhead = 7

// dayLockTimeout is how long Prune waits for a lock on a partition. A writer may have to wait behind Prune for as
// long.
const dayLockTimeout = 100 * time.Millisecond

// ErrLayout means: inbox_events has daily partitions and the inbox lacks the option WithDailyPartitions, or the
// other way round. Check and Prune return it.
var ErrLayout = errors.New("daily partitions in one place only")

// WithDailyPartitions says that inbox_events has a partition for each day, as `relay inbox partition` creates it:
// PostgreSQL only. Prune then drops whole days instead of deleting rows. That takes no time and leaves nothing to
// vacuum.
//
// The day is that of the message id, a UUID of version 7 as Postroom's ids are. A copy of a message therefore finds
// its first delivery in one partition. Other ids share a partition that is purged row by row.
//
// A day is dropped when no row of it is needed: each row is older than its consumer's retention, and below the
// offset that the consumer's group has committed, less the margin. Consumers share the table. Therefore each writes
// into the table inbox_expiry, by Prune, what it no longer needs. A consumer that has rows and never prunes keeps
// the days. Prune creates and drops partitions if the database user owns the table. If the user does not, run
// `relay inbox prune` as the owner, about every hour.
func WithDailyPartitions() Option { return func(c *config) { c.daily = true } }

// open returns the statements for the tables that the options describe.
func (c *config) open() (*store.Store, *store.Days, error) {
	if !c.daily {
		s, err := store.New(c.names)
		return s, nil, err
	}
	s, err := store.NewDaily(c.names)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Days(dayLockTimeout), nil
}

// layout reads how the table is made, and compares it with the option.
func (ib *Inbox) layout(ctx context.Context, q db.Queryer) (store.Layout, error) {
	l, err := ib.store.Layout(ctx, q)
	switch {
	case err != nil:
		return l, fmt.Errorf("read the layout of %s: %w", ib.table, err)
	case l.Daily && ib.days == nil:
		return l, fmt.Errorf("%w: %s has them: give inbox.New the option WithDailyPartitions", ErrLayout, ib.table)
	case !l.Daily && ib.days != nil:
		return l, fmt.Errorf("%w: %s has none: run `relay inbox partition`, or leave out WithDailyPartitions",
			ErrLayout, ib.table)
	}
	return l, nil
}

func (ib *Inbox) checkLayout(ctx context.Context, db *sql.DB) error {
	if _, err := ib.layout(ctx, db); err != nil {
		return fmt.Errorf("inbox: consumer %q: %w", ib.consumer, err)
	}
	return nil
}

// dropDays writes what the consumer no longer needs, creates the next days and drops old ones.
func (p *pruner) dropDays(ctx context.Context) error {
	days := p.ib.days
	layout, err := p.ib.layout(ctx, p.db)
	if err != nil {
		return err
	}
	if err := days.SetExpiry(ctx, p.db, p.ib.consumer, p.options.Retention, nil, 0); err != nil {
		return fmt.Errorf("write what is not needed: %w", err)
	}
	if layout.Owner {
		made, err := days.Create(ctx, p.db, DaysAhead)
		if err != nil {
			return err
		}
		p.report(made, "inbox: a day has no partition of its own")
	}
	old, err := days.Ended(ctx, p.db, p.options.Retention)
	if err != nil {
		return fmt.Errorf("list the days: %w", err)
	}
	for _, day := range old {
		if err := p.setExpiryOfDay(ctx, day); err != nil {
			return err
		}
		if !layout.Owner {
			continue
		}
		dropped, err := days.Drop(ctx, p.db, day)
		if err != nil {
			return err
		}
		if dropped.Done || dropped.Emptied {
			p.deleted += dropped.Rows
		}
		p.report([]store.Day{dropped}, "inbox: a day stays for now")
	}
	return nil
}

// setExpiryOfDay writes how far the consumer is in the Kafka partitions that a day has rows of.
func (p *pruner) setExpiryOfDay(ctx context.Context, day string) error {
	groups, err := p.ib.days.Groups(ctx, p.db, day)
	if db.IsMissingTable(err) {
		return nil // dropped meanwhile
	}
	if err != nil {
		return fmt.Errorf("read the day %s: %w", day, err)
	}
	for _, g := range groups {
		if g.Consumer != p.ib.consumer || g.Position == nil {
			continue
		}
		if p.options.Committed == nil {
			p.unguarded += g.Rows
			continue
		}
		limit, err := p.limit(ctx, partition{g.Position.Topic, g.Position.Partition})
		if err != nil {
			return err
		}
		if err := p.ib.days.SetExpiry(ctx, p.db, p.ib.consumer, p.options.Retention, g.Position, limit); err != nil {
			return fmt.Errorf("write what is not needed: %w", err)
		}
	}
	return nil
}

func (p *pruner) report(days []store.Day, stays string) {
	for _, d := range days {
		if !d.Done {
			p.ib.log.Info(stays, "day", d.Day, "reason", d.Reason)
		}
	}
}
