package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

func newBackfill(env *Env) *cobra.Command {
	c := backfill.Config{}
	var file string
	var strict, abandon bool
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "send the present rows of a table through the outbox, so that a replica is complete",
		Long: `backfill sends the rows of a query through the outbox in chunks, while writes go on. A chunk is one
transaction: interrupted or killed anywhere, the same command goes on after the last one.

The query has the columns topic, event_key, event_type, payload, and the one of --position. Its
payloads carry the row's version, and their consumer keeps the newest, as inbox/replica does.

It yields EVERY row of the replica, all with one topic: at the end the replica removes what did not
come. With --partial nothing is removed: so a part of the rows is sent, to mend them, and so, by a
run for each topic, are the rows of a replica that reads several. An interrupted run goes on with
the same query, --position and --partial; --abandon ends it.`,
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
					wrong = errors.New("--abandon needs --name, and takes no query and no --position: relay backfill --abandon --name customers")
				}
			} else if c.Name == "" || c.Position == "" || file == "" {
				wrong = errors.New("say what to send: --name customers --position id --query-file customers.sql")
			} else if query, err := os.ReadFile(file); err != nil {
				wrong = fmt.Errorf("--query-file: %w", err)
			} else {
				c.Query = string(query)
			}
			loaded, _, err := load(env, cmd, func(l *config.Config) error { return errors.Join(l.CheckSources(), wrong) })
			if err != nil {
				return err
			}
			if len(loaded.Sources) != 1 {
				return usageError{errors.New("a backfill is of one source: name it by --source")}
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
					return fmt.Errorf("stopped by a signal: %s sent; the same command goes on", countOf(p.Sent, "row"))
				case errors.Is(err, backfill.ErrConfig):
					return usageError{err}
				}
				return err
			}, dbopen.WithExisting())
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "", "`name` by which an interrupted run is found again")
	f.StringVar(&file, "query-file", "", "`file` with the SELECT of what to send")
	f.StringVar(&c.Position, "position", "", "unique `column` of integers or text that chunks go by")
	f.IntVar(&c.Chunk, "chunk", backfill.DefaultChunk, "rows of a transaction")
	f.IntVar(&c.RowsPerSecond, "rows-per-second", 0, "limit of the rate; 0: none")
	f.BoolVar(&strict, "strict-key-order", false, "lock each key as writers with StrictKeyOrder do; needed only if others than replicas read the topic")
	f.BoolVar(&c.Partial, "partial", false, "the query has a part of the replica's rows: nothing is removed from it")
	f.BoolVar(&abandon, "abandon", false, "end the run of --name that was interrupted; nothing is removed from the replica")
	addJSON(cmd)
	return cmd
}

// tellBackfill prints how far a run has come, after each chunk a line.
func tellBackfill(env *Env, cmd *cobra.Command, p backfill.Progress, verb string) {
	if wantsJSON(cmd) {
		_ = json.NewEncoder(env.Stdout).Encode(map[string]any{
			"run_id": p.RunID, "resumed": p.Resumed, "chunks": p.Chunks, "sent": p.Sent, "topics": p.Topics, "finished": p.Finished})
		return
	}
	_, _ = fmt.Fprintf(env.Stdout, "run %s: %s %s\n", p.RunID, countOf(p.Sent, "row"), verb)
}
