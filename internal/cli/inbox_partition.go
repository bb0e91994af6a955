package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dialect"
)

// dayFlags are those of the commands about daily partitions.
type dayFlags struct {
	ahead int
	wait  time.Duration
}

func (d *dayFlags) add(f *pflag.FlagSet, wait time.Duration) {
	f.IntVar(&d.ahead, "ahead", inbox.DaysAhead, "make partitions for so many `days` after today")
	f.DurationVar(&d.wait, "lock-timeout", wait, "wait no `time` longer than this for a lock: writers wait behind it")
}

func (d *dayFlags) check() error {
	var errs []error
	if d.ahead < 1 || d.ahead > 90 {
		errs = append(errs, fmt.Errorf("--ahead: %d is out of range: want 1 to 90", d.ahead))
	}
	if d.wait < time.Millisecond || d.wait > time.Minute {
		errs = append(errs, fmt.Errorf("--lock-timeout: %s is out of range: want 1ms to 1m", d.wait))
	}
	return errors.Join(errs...)
}

func newInboxPartition(env *Env) *cobra.Command {
	var own dayFlags
	cmd := &cobra.Command{
		Use:   "partition",
		Short: "give inbox_events daily partitions, which are dropped instead of deleted (PostgreSQL)",
		Long: `partition makes inbox_events over, so that it has a partition for each day: old rows then go by
dropping whole days. It copies the rows, in one transaction, during which consumers wait; rights
and owner stay as they are. It makes one further table, inbox_expiry.

Stop the consumers, run it as the owner of the table, and start them with the option
inbox.WithDailyPartitions: an inbox refuses a table that is made otherwise than its option says.
See docs/consumers.md.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onInbox(env, cmd, own.check(), func(ctx context.Context, d *database) error {
				copied, err := dialect.PartitionInbox(ctx, d.DB, d.names(), own.ahead, own.wait)
				table := d.names().Plain(dialect.InboxEvents)
				switch {
				case errors.Is(err, dialect.ErrInboxDaily):
					return fmt.Errorf("%s: %w: `relay inbox prune` makes those of the next days", table, err)
				case dialect.IsSerialization(err):
					return fmt.Errorf("%s: a consumer held a lock for longer than %s: stop the consumers, or raise --lock-timeout: %w", table, own.wait, err)
				case err != nil:
					return err
				}
				if wantsJSON(cmd) {
					return printJSON(env.Stdout, map[string]any{"table": table, "copied": copied})
				}
				_, err = fmt.Fprintf(env.Stdout, "%s has daily partitions now, %s copied: start its consumers with inbox.WithDailyPartitions\n", table, countOf(copied, "row"))
				return err
			})
		},
	}
	addInbox(cmd)
	own.add(cmd.Flags(), 5*time.Second)
	return cmd
}

func newInboxPrune(env *Env) *cobra.Command {
	var own dayFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "make the daily partitions of the next days, and drop those that no consumer needs (PostgreSQL)",
		Long: `prune is for tables with daily partitions whose consumers may not make or drop tables: run it as the
owner of inbox_events, every hour or so. It drops the days of which every consumer that has rows in
them has told, by KeepPruned or Prune, that it needs none any more; a day that stays says why.

Rows that are in no day's partition are deleted by the consumers themselves, and so is everything in
a table without daily partitions.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onInbox(env, cmd, own.check(), func(ctx context.Context, d *database) error {
				layout, err := dialect.ReadInboxLayout(ctx, d.DB, d.names())
				if err == nil && !layout.Daily {
					err = fmt.Errorf("%s has no daily partitions: its consumers prune it (KeepPruned), or see relay inbox partition --help", d.names().Plain(dialect.InboxEvents))
				}
				if err != nil {
					return err
				}
				return pruneDays(ctx, env, cmd, d, own, dryRun)
			})
		},
	}
	addInbox(cmd)
	own.add(cmd.Flags(), 100*time.Millisecond)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be dropped")
	return cmd
}

// prunedDay is an element of `inbox prune --json`.
type prunedDay struct {
	Day    string `json:"day"`
	Result string `json:"result"` // made, dropped, emptied, stays, missing, would be dropped
	Rows   int64  `json:"rows"`
	Reason string `json:"reason"`
}

func pruneDays(ctx context.Context, env *Env, cmd *cobra.Command, d *database, own dayFlags, dryRun bool) error {
	days, done := dialect.NewInboxDays(d.names(), own.wait), []prunedDay{}
	failed := func() error {
		if !dryRun {
			made, err := days.Ahead(ctx, d.DB, own.ahead)
			for _, is := range made {
				done = append(done, prunedDayOf(is, "made", "missing"))
			}
			if err != nil {
				return err
			}
		}
		shortest, err := days.Shortest(ctx, d.DB)
		if err != nil {
			return err
		}
		old, err := days.Before(ctx, d.DB, shortest)
		if err != nil {
			return err
		}
		for _, day := range old {
			var is dialect.InboxDay
			result := "dropped"
			if dryRun {
				is, err = days.Judge(ctx, d.DB, day)
				is.Done, result = is.Reason == "", "would be dropped"
			} else {
				is, err = days.Drop(ctx, d.DB, day)
			}
			if err != nil {
				return err
			}
			done = append(done, prunedDayOf(is, result, "stays"))
		}
		return nil
	}()
	if err := printDays(env, cmd, done); err != nil {
		return errors.Join(failed, err)
	}
	return failed
}

func prunedDayOf(is dialect.InboxDay, did, didNot string) prunedDay {
	p := prunedDay{Day: is.Day, Result: didNot, Rows: is.Rows, Reason: is.Reason}
	switch {
	case is.Done:
		p.Result = did
	case is.Emptied:
		p.Result = "emptied"
	}
	return p
}

func printDays(env *Env, cmd *cobra.Command, days []prunedDay) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, days)
	}
	if len(days) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "nothing to do: the days ahead are there, and no old one is")
		return err
	}
	var rows [][]string
	for _, d := range days {
		rows = append(rows, []string{d.Day, d.Result, strconv.FormatInt(d.Rows, 10), reason(d.Reason)})
	}
	return printTable(env.Stdout, []string{"DAY", "RESULT", "ROWS", "REASON"}, rows)
}

func reason(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}
