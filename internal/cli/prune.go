package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	store "github.com/postroom/postroom/internal/store/relay"
)

func newPrune(env *Env) *cobra.Command {
	var own pruneFlags
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "delete old archived events and old notes of dropped events",
		Long: `prune deletes archived events that were delivered longer ago than --archive-older-than, and notes
of dropped events that are older than --drops-older-than. The database's clock decides. prune deletes
1,000 rows at a time and pauses in between. You can interrupt it at any time.

A relay that runs with --archive deletes old archived events itself, after --archive-for. Nothing but
prune deletes the notes of dropped events. You can neither replay nor trace a deleted event.`,
		Example: `  relay prune --archive-older-than 30d --dry-run
  relay prune --archive-older-than 36h --drops-older-than 365d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			old, wrong := own.read()
			c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
			if err != nil {
				return err
			}
			return prune(ctx, env, cmd, c.Sources, old, own.dryRun)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	own.add(cmd.Flags())
	addJSON(cmd)
	return cmd
}

type pruneFlags struct {
	archive, drops string
	dryRun         bool
}

func (p *pruneFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.archive, "archive-older-than", "",
		"delete archived events of this `age` or older, for example 36h or 30d")
	f.StringVar(&p.drops, "drops-older-than", "", "delete notes of dropped events of this `age` or older")
	f.BoolVar(&p.dryRun, "dry-run", false, "only count the rows to delete")
}

// read returns which rows to delete.
func (p *pruneFlags) read() (old []store.Old, err error) {
	if p.archive == "" && p.drops == "" {
		return nil, errors.New("say what to delete: --archive-older-than 30d, --drops-older-than 365d, or both")
	}
	var errs []error
	for _, f := range []struct {
		name, value string
		old         func(time.Duration) store.Old
	}{{"--archive-older-than", p.archive, store.OldArchived}, {"--drops-older-than", p.drops, store.OldDrops}} {
		if f.value == "" {
			continue
		}
		age, err := config.Age(f.value)
		if err == nil && age < 0 {
			err = fmt.Errorf("%s is negative: an age is positive", f.value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
			continue
		}
		old = append(old, f.old(age))
	}
	return old, errors.Join(errs...)
}

// pruned is an element of `prune --json`.
type pruned struct {
	Source  string `json:"source"`
	Table   string `json:"table"`
	Old     int64  `json:"old"`     // old rows at the start
	Deleted int64  `json:"deleted"` // so far
	DryRun  bool   `json:"dry_run"`
}

func prune(ctx context.Context, env *Env, cmd *cobra.Command, sources []config.Source, old []store.Old,
	dryRun bool) error {
	results := []pruned{}
	failed := eachSource(ctx, sources, func(d *database) error {
		if err := d.checkName(ctx); err != nil {
			return err
		}
		tables, err := store.New(d.DB, d.names(), store.Options{})
		if err != nil {
			return err
		}
		var errs []error
		for _, o := range old {
			p := pruned{Source: d.source.Name, Table: d.names().Plain(o.Table()), DryRun: dryRun}
			if p.Old, err = tables.CountOld(ctx, o); err == nil && !dryRun {
				err = p.purge(ctx, env.Stderr, tables, o)
			}
			if err != nil {
				errs = append(errs, archiveError(ctx, d, err))
				if p.Deleted == 0 {
					continue
				}
			}
			results = append(results, p)
		}
		return errors.Join(errs...)
	}, dbopen.WithExisting())
	if err := printPruned(env, cmd, results, dryRun); err != nil {
		return errors.Join(failed, err)
	}
	return failed
}

// purgeStep is how many rows one statement deletes.
const purgeStep = 1000

// purge deletes step by step. After each step it pauses for as long as the step took, so that half of the
// database's time is left for others.
func (p *pruned) purge(ctx context.Context, progress io.Writer, tables *store.Store, o store.Old) error {
	reported := time.Now()
	for {
		began := time.Now()
		n, err := tables.Purge(ctx, o, purgeStep)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped by a signal: %s of %s deleted; to continue, run the same command again",
				countOf(p.Deleted, "row"), p.Table)
		}
		if err != nil {
			return err
		}
		p.Deleted += n
		if n < purgeStep {
			return nil
		}
		if time.Since(reported) > time.Second {
			reported = time.Now()
			_, _ = fmt.Fprintf(progress, "%d of about %s of %s deleted\n", p.Deleted, countOf(p.Old, "row"), p.Table)
		}
		rest := time.NewTimer(time.Since(began))
		select {
		case <-rest.C:
		case <-ctx.Done(): // the next step returns the error
		}
		rest.Stop()
	}
}

func printPruned(env *Env, cmd *cobra.Command, results []pruned, dryRun bool) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, results)
	}
	var rows [][]string
	for _, p := range results {
		n := p.Deleted
		if dryRun {
			n = p.Old
		}
		rows = append(rows, []string{p.Source, p.Table, strconv.FormatInt(n, 10)})
	}
	if len(rows) == 0 {
		return nil
	}
	heading := "DELETED"
	if dryRun {
		heading = "WOULD BE DELETED"
	}
	return printTable(env.Stdout, []string{"SOURCE", "TABLE", heading}, rows)
}
