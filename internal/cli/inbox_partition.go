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
	"github.com/postroom/postroom/internal/db"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
)

// dayFlags has the flags of the verbs for daily partitions.
type dayFlags struct {
	ahead int
	wait  time.Duration
}

func (d *dayFlags) add(f *pflag.FlagSet, wait time.Duration) {
	f.IntVar(&d.ahead, "ahead", inbox.DaysAhead, "number of `days` after today to create partitions for")
	f.DurationVar(&d.wait, "lock-timeout", wait, "longest `time` to wait for a lock; other writers wait meanwhile")
}

func (d *dayFlags) check() error {
	var errs []error
	if d.ahead < 1 || d.ahead > 90 {
		errs = append(errs, fmt.Errorf("--ahead: %d is out of range: use 1 to 90", d.ahead))
	}
	if d.wait < time.Millisecond || d.wait > time.Minute {
		errs = append(errs, fmt.Errorf("--lock-timeout: %s is out of range: use 1ms to 1m", d.wait))
	}
	return errors.Join(errs...)
}

func newInboxPartition(env *Env) *cobra.Command {
	var own dayFlags
	cmd := &cobra.Command{
		Use:   "partition",
		Short: "convert inbox_events to daily partitions, so that old rows are dropped by day (PostgreSQL)",
		Long: `partition converts inbox_events into a table with a partition for each day. To remove old rows, whole
days are then dropped. The command copies the rows in one transaction; consumers wait meanwhile.
Rights and owner of the table stay. The command also creates the table inbox_expiry.

Stop the consumers, run partition as the owner of the table, and start the consumers with the option
inbox.WithDailyPartitions. An inbox does not start if this option and the table disagree.
See docs/consumers.md.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onInbox(env, cmd, own.check(), func(ctx context.Context, d *database) error {
				tables, err := inboxstore.New(d.names())
				if err != nil {
					return err
				}
				copied, err := tables.Partition(ctx, d.DB, own.ahead, own.wait)
				table := d.names().Plain(db.InboxEvents)
				switch {
				case errors.Is(err, inboxstore.ErrDaily):
					return fmt.Errorf("%s: %w: `relay inbox prune` creates the partitions of the next days", table, err)
				case db.IsSerialization(err):
					return fmt.Errorf("%s: a consumer held a lock for longer than %s: "+
						"stop the consumers, or raise --lock-timeout: %w", table, own.wait, err)
				case err != nil:
					return err
				}
				if wantsJSON(cmd) {
					return printJSON(env.Stdout, map[string]any{"table": table, "copied": copied})
				}
				_, err = fmt.Fprintf(env.Stdout, "%s has daily partitions now, %s copied: "+
					"start its consumers with inbox.WithDailyPartitions\n", table, countOf(copied, "row"))
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
		Short: "create the daily partitions of the next days, and drop those that no consumer needs (PostgreSQL)",
		Long: `prune is for tables with daily partitions whose consumers have no right to create or drop tables. Run
it about every hour, as the owner of inbox_events.

prune drops a day when no consumer needs its rows any more. Each consumer that has rows in a day says
so by KeepPruned or Prune. If a day stays, prune prints the reason.

The consumers themselves delete rows outside of daily partitions, and all rows of a table without
daily partitions.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onInbox(env, cmd, own.check(), func(ctx context.Context, d *database) error {
				tables, err := inboxstore.New(d.names())
				if err != nil {
					return err
				}
				layout, err := tables.Layout(ctx, d.DB)
				if err == nil && !layout.Daily {
					err = fmt.Errorf("%s has no daily partitions: its consumers prune it (KeepPruned), "+
						"or see relay inbox partition --help", d.names().Plain(db.InboxEvents))
				}
				if err != nil {
					return err
				}
				return pruneDays(ctx, env, cmd, d, tables.Days(own.wait), own, dryRun)
			})
		},
	}
	addInbox(cmd)
	own.add(cmd.Flags(), 100*time.Millisecond)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print which days would be dropped")
	return cmd
}

// prunedDay is an element of `inbox prune --json`.
type prunedDay struct {
	Day    string `json:"day"`
	Result string `json:"result"` // made, dropped, emptied, stays, missing, would be dropped
	Rows   int64  `json:"rows"`
	Reason string `json:"reason"`
}

func pruneDays(ctx context.Context, env *Env, cmd *cobra.Command, d *database, days *inboxstore.Days,
	own dayFlags, dryRun bool,
) error {
	done := []prunedDay{}
	failed := func() error {
		if !dryRun {
			made, err := days.Create(ctx, d.DB, own.ahead)
			for _, is := range made {
				done = append(done, prunedDayOf(is, "made", "missing"))
			}
			if err != nil {
				return err
			}
		}
		shortest, err := days.ShortestRetention(ctx, d.DB)
		if err != nil {
			return err
		}
		old, err := days.Ended(ctx, d.DB, shortest)
		if err != nil {
			return err
		}
		for _, day := range old {
			var is inboxstore.Day
			result := "dropped"
			if dryRun {
				is, err = days.Check(ctx, d.DB, day)
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

func prunedDayOf(is inboxstore.Day, did, didNot string) prunedDay {
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
		_, err := fmt.Fprintln(env.Stdout,
			"nothing to do: the partitions of the next days exist, and there is none to drop")
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
