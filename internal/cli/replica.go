package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

func newCompare(env *Env) *cobra.Command {
	c := replica.Comparison{}
	var file string
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "compare a replica with its source, and list the rows that differ",
		Long: `compare reads a query in the source's database (--database-url) and a replica's table in the
consumer's database (--inbox-database-url). The databases may be of different kinds. compare lists
the keys of rows that are missing in the replica, that only the replica has, and that differ. The
exit code is 3 if there are any. compare writes nothing.

The query must return the replica's columns, under their names in the replica. compare checks
differences a second time after --wait, so that it does not report events that are in flight.`,
		Example: `  relay compare --table customers --key id --query-file customers.sql
  relay compare --table lines --key order_id,line --query-file lines.sql --wait 1m --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			var wrong error
			if c.Table == "" || len(c.Key) == 0 || file == "" {
				wrong = errors.New("say what to compare, for example " +
					"--table customers --key id --query-file customers.sql")
			} else if query, err := os.ReadFile(file); err != nil {
				wrong = fmt.Errorf("--query-file: %w", err)
			} else {
				c.Query = string(query)
			}
			if c.Wait <= 0 || c.RowsPerSecond < 0 {
				wrong = errors.Join(wrong, errors.New("--wait must be positive, and --rows-per-second not negative"))
			}
			loaded, _, err := load(env, cmd, func(l *config.Config) error {
				err := errors.Join(l.CheckSources(), l.CheckInbox(), wrong)
				if l.Inbox.DatabaseURL == "" {
					err = errors.Join(err, errors.New("the replica's database is not set: set "+
						"POSTROOM_INBOX_DATABASE_URL, POSTROOM_INBOX_DATABASE_URL_FILE or --inbox-database-url"))
				}
				return err
			})
			if err != nil {
				return err
			}
			if len(loaded.Sources) != 1 {
				return usageError{errors.New("a replica has one source: name it with --source")}
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
	f.StringVar(&file, "query-file", "", "`file` with the SELECT that returns the rows which the replica should have")
	f.StringSliceVar(&c.JSON, "json-columns", nil, "`columns` to compare as JSON, separated by commas; "+
		"needed if both databases store JSON as text (MariaDB)")
	f.DurationVar(&c.Wait, "wait", 10*time.Second, "time before the second check: longer than an event is in flight")
	f.IntVar(&c.RowsPerSecond, "rows-per-second", 0,
		"largest number of rows per second, for each database; 0: no limit")
	addJSON(cmd)
	return cmd
}

func compare(ctx context.Context, env *Env, cmd *cobra.Command, c replica.Comparison, source *database,
	inbox config.Inbox) error {
	target, err := dbopen.Open(ctx, inbox.DatabaseURL.Reveal(), dbopen.WithMaxOpen(2), dbopen.WithExisting(),
		dbopen.WithoutChanges())
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
		return errors.New("stopped by a signal: nothing was written; run the command again")
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
		return foundError{fmt.Errorf("%s differ, and %s of rows were not examined: "+
			"send the source's rows again with relay backfill, and compare again",
			countOf(int64(len(done.Differences)), "row"), countOf(int64(done.Left), "chunk"))}
	case !done.Equal():
		return foundError{fmt.Errorf("%s differ: send the source's rows again with relay backfill "+
			"(with --partial if you send only some of them), and compare again",
			countOf(int64(len(done.Differences)), "row"))}
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

func newBackfill(env *Env) *cobra.Command {
	c := backfill.Config{}
	var file string
	var strict, abandon bool
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "send the existing rows of a table through the outbox, to fill a replica",
		Long: `backfill sends the rows of a query through the outbox in chunks. Applications may write meanwhile.
Each chunk is one transaction. If a run is interrupted or killed, the same command continues after
the last chunk.

The query must return the columns topic, event_key, event_type and payload, and the column of
--position. Each payload must contain the row's version, and the consumer must keep the newest
version, as the package inbox/replica does.

The query must return EVERY row of the replica, all with one topic: at the end, the replica deletes
the rows that did not come. With --partial the replica deletes nothing. Use it to send only some
rows again. Also use it for a replica that reads several topics: make one run for each topic.

To continue an interrupted run, use the same query, --position and --partial. To end it, use
--abandon.`,
		Example: `  relay backfill --name customers --position id --query-file customers.sql
  relay backfill --name customers --position id --query-file customers.sql --rows-per-second 5000 --json
  relay backfill --name mend --position id --query-file damaged.sql --partial
  relay backfill --abandon --name customers`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			var wrong error
			if abandon {
				if c.Name == "" || c.Position != "" || file != "" {
					wrong = errors.New("--abandon needs --name, and takes no query and no --position: " +
						"relay backfill --abandon --name customers")
				}
			} else if c.Name == "" || c.Position == "" || file == "" {
				wrong = errors.New("say what to send, for example --name customers --position id --query-file " +
					"customers.sql")
			} else if query, err := os.ReadFile(file); err != nil {
				wrong = fmt.Errorf("--query-file: %w", err)
			} else {
				c.Query = string(query)
			}
			loaded, _, err := load(env, cmd, func(l *config.Config) error {
				return errors.Join(l.CheckSources(),
					wrong)
			})
			if err != nil {
				return err
			}
			if len(loaded.Sources) != 1 {
				return usageError{errors.New("a backfill has one source: name it with --source")}
			}
			if strict {
				c.Outbox = append(c.Outbox, outbox.StrictKeyOrder())
			}
			return eachSource(ctx, loaded.Sources, func(d *database) error {
				if err := d.checkName(ctx); err != nil {
					return err
				}
				c.TablePrefix, c.Schema = d.source.TablePrefix, d.source.Schema
				if abandon {
					p, err := backfill.Abandon(ctx, d.DB, d.Dialect, c)
					switch {
					case errors.Is(err, backfill.ErrConfig):
						return usageError{err}
					case err != nil:
						return err
					}
					tellBackfill(env, cmd, p, "sent; abandoned")
					return nil
				}
				c.Progress = func(p backfill.Progress) {
					verb := "sent"
					if p.Finished {
						verb = "sent; finished"
					}
					tellBackfill(env, cmd, p, verb)
				}
				p, err := backfill.Run(ctx, d.DB, d.Dialect, c)
				switch {
				case ctx.Err() != nil:
					return fmt.Errorf("stopped by a signal: %s sent; to continue, run the same command again",
						countOf(p.Sent, "row"))
				case errors.Is(err, backfill.ErrConfig):
					return usageError{err}
				}
				return err
			}, dbopen.WithExisting())
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "", "`name` of the run; an interrupted run is continued by its name")
	f.StringVar(&file, "query-file", "", "`file` with the SELECT that returns the rows to send")
	f.StringVar(&c.Position, "position", "",
		"unique `column` of integers or text, by which the rows are divided into chunks")
	f.IntVar(&c.Chunk, "chunk", backfill.DefaultChunk, "rows per transaction")
	f.IntVar(&c.RowsPerSecond, "rows-per-second", 0, "largest number of rows per second; 0: no limit")
	f.BoolVar(&strict, "strict-key-order", false, "lock each key, as writers with StrictKeyOrder do; "+
		"needed only if the topic has consumers other than replicas")
	f.BoolVar(&c.Partial, "partial", false,
		"the query returns only some of the replica's rows: the replica deletes nothing")
	f.BoolVar(&abandon, "abandon", false, "end the interrupted run --name; the replica deletes nothing")
	addJSON(cmd)
	return cmd
}

// tellBackfill prints the progress of a run: one line after each chunk.
func tellBackfill(env *Env, cmd *cobra.Command, p backfill.Progress, verb string) {
	if wantsJSON(cmd) {
		_ = json.NewEncoder(env.Stdout).Encode(map[string]any{
			"run_id": p.RunID, "resumed": p.Resumed, "chunks": p.Chunks, "sent": p.Sent, "topics": p.Topics,
			"finished": p.Finished})
		return
	}
	_, _ = fmt.Fprintf(env.Stdout, "run %s: %s %s\n", p.RunID, countOf(p.Sent, "row"), verb)
}
