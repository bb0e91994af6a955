package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
)

func newCompare(env *Env) *cobra.Command {
	c := replica.Comparison{}
	var file string
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "compare a replica with its source, and list the rows that differ",
		Long: `compare reads a query of the source (--database-url) and a replica's table (--inbox-database-url), which
may be in databases of different kinds, and lists the keys of rows that are missing in the replica,
that only the replica has, or that differ. It exits with 3 if there are any. It writes nothing.

The query has the replica's columns under their names in the replica. What differs is looked at
again after --wait, so that events on their way are not reported.`,
		Example: `  relay compare --table customers --key id --query-file customers.sql
  relay compare --table lines --key order_id,line --query-file lines.sql --wait 1m --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			var wrong error
			if c.Table == "" || len(c.Key) == 0 || file == "" {
				wrong = errors.New("say what to compare: --table customers --key id --query-file customers.sql")
			} else if query, err := os.ReadFile(file); err != nil {
				wrong = fmt.Errorf("--query-file: %w", err)
			} else {
				c.Query = string(query)
			}
			if c.Wait <= 0 || c.RowsPerSecond < 0 {
				wrong = errors.Join(wrong, errors.New("--wait must be above 0, --rows-per-second not below"))
			}
			loaded, _, err := load(env, cmd, func(l *config.Config) error {
				err := errors.Join(l.CheckSources(), l.CheckInbox(), wrong)
				if l.Inbox.DatabaseURL == "" {
					err = errors.Join(err, errors.New("no replica: set POSTROOM_INBOX_DATABASE_URL, POSTROOM_INBOX_DATABASE_URL_FILE or --inbox-database-url"))
				}
				return err
			})
			if err != nil {
				return err
			}
			if len(loaded.Sources) != 1 {
				return usageError{errors.New("a replica is of one source: name it by --source")}
			}
			return eachSource(ctx, loaded.Sources, func(d *database) error {
				return compare(ctx, env, cmd, c, d, loaded.Inbox)
			}, dbopen.WithExisting(), dbopen.WithoutChanges())
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database, config.Consuming)
	f := cmd.Flags()
	f.StringVar(&c.Table, "table", "", "`table` of the replica, in the schema of --inbox-schema")
	f.StringSliceVar(&c.Key, "key", nil, "`columns` of the key, separated by commas")
	f.StringVar(&file, "query-file", "", "`file` with the SELECT of what the replica should have")
	f.StringSliceVar(&c.JSON, "json-columns", nil, "`columns` to compare as JSON, separated by commas; needed where both sides have text (MariaDB)")
	f.DurationVar(&c.Wait, "wait", 10*time.Second, "how long a difference has for going away: more than an event is under way")
	f.IntVar(&c.RowsPerSecond, "rows-per-second", 0, "limit of the rate on each side; 0: none")
	addJSON(cmd)
	return cmd
}

func compare(ctx context.Context, env *Env, cmd *cobra.Command, c replica.Comparison, source *database, inbox config.Inbox) error {
	target, err := dbopen.Open(ctx, inbox.DatabaseURL.Reveal(), dbopen.WithMaxOpen(2), dbopen.WithExisting(), dbopen.WithoutChanges())
	if err != nil {
		return fmt.Errorf("the replica's database: %w", err)
	}
	defer func() { _ = target.DB.Close() }() // nothing was written
	c.Source, c.SourceDialect = source.DB, source.Dialect
	c.Replica, c.ReplicaDialect, c.Schema = target.DB, target.Dialect, inbox.Schema
	c.Progress = func(p replica.CompareProgress) {
		_, _ = fmt.Fprintf(env.Stderr, "%s: %s read\n", p.Step, countOf(p.Rows, "row"))
	}
	done, err := replica.Compare(ctx, c)
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped by a signal: nothing was written; run it again")
	case errors.Is(err, replica.ErrConfig):
		return usageError{err}
	case err != nil:
		return err
	}
	if err := printCompared(env, cmd, done); err != nil {
		return err
	}
	switch {
	case done.Left > 0:
		return foundError{fmt.Errorf("%s differ, and %s of rows besides were not looked into: send the source's rows again (relay backfill), and compare again",
			countOf(int64(len(done.Differences)), "row"), countOf(int64(done.Left), "chunk"))}
	case !done.Equal():
		return foundError{fmt.Errorf("%s differ: send the source's rows again (relay backfill, with --partial if only some of them), and compare again", countOf(int64(len(done.Differences)), "row"))}
	}
	return nil
}

func printCompared(env *Env, cmd *cobra.Command, done replica.Compared) error {
	if wantsJSON(cmd) {
		if done.Differences == nil {
			done.Differences = []replica.Difference{}
		}
		return printJSON(env.Stdout, struct {
			Equal bool `json:"equal"`
			replica.Compared
		}{done.Equal(), done})
	}
	if len(done.Differences) > 0 {
		rows := make([][]string, len(done.Differences))
		for i, d := range done.Differences {
			rows[i] = []string{d.Kind, strings.Join(d.Key, ", ")}
		}
		if err := printTable(env.Stdout, []string{"DIFFERENCE", "KEY"}, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(env.Stdout, "source: %s; replica: %s; in flight: %d; different: %d\n",
		countOf(done.SourceRows, "row"), countOf(done.ReplicaRows, "row"), done.InFlight, len(done.Differences))
	return err
}
