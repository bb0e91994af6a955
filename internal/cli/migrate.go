package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/migrations"
)

func newMigrate(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "create and change Postroom's tables",
		Long: `migrate creates and changes Postroom's tables, and no other tables. It records the applied versions
in its own table, <prefix>postroom_schema. If you use another migration tool, take the SQL from
'relay migrate print'.`,
	}
	group(cmd)
	cmd.AddCommand(newMigrateUp(env), newMigrateStatus(env), newMigratePrint(env))
	return cmd
}

const onlyFlag = "only"

// migrateFlags adds the flags that the three verbs share.
func migrateFlags(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	cmd.Flags().String(onlyFlag, "", "`scope` of the tables: outbox (producers, relay) or inbox (consumers); default "+
		"both")
	addJSON(cmd)
}

func scopeFlag(cmd *cobra.Command) (migrations.Scope, error) {
	value, err := cmd.Flags().GetString(onlyFlag)
	if err != nil {
		return "", err
	}
	switch scope := migrations.Scope(value); scope {
	case migrations.Both, migrations.OutboxOnly, migrations.InboxOnly:
		return scope, nil
	}
	return "", fmt.Errorf("--%s: %q is not known: use outbox or inbox, or omit the flag for both", onlyFlag, value)
}

// appliedFile is an element of `migrate up --json`.
type appliedFile struct {
	Source   string  `json:"source"`
	Version  int64   `json:"version"`
	File     string  `json:"file"`
	Duration float64 `json:"seconds"`
}

func newMigrateUp(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "create the tables, or bring them to the version of this build",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, only, err := migrateSettings(env, cmd)
			if err != nil {
				return err
			}
			done := []appliedFile{}
			failed := eachSource(ctx, c.Sources, func(d *database) error {
				results, err := migrations.Apply(ctx, d.DB, d.Dialect, d.migrationOptions(only))
				for _, r := range results {
					done = append(done, appliedFile{d.source.Name, r.Version, r.File, r.Duration.Seconds()})
				}
				if err == nil && len(results) == 0 {
					err = warnOfGone(ctx, env, d, only)
				}
				return err
			})
			if err := printApplied(env, cmd, done, failed); err != nil {
				return err
			}
			return failed
		},
	}
	migrateFlags(cmd)
	return cmd
}

// warnOfGone prints a warning about tables that were dropped after their migration was applied. There is no
// migration to apply, but everything that needs these tables fails.
func warnOfGone(ctx context.Context, env *Env, d *database, only migrations.Scope) error {
	gone := d.diagnose(ctx, only)
	if !errors.Is(gone, migrations.ErrTableGone) {
		return nil // Apply has reported everything else
	}
	_, err := fmt.Fprintln(env.Stderr, sourceError(d.source, gone))
	return err
}

func printApplied(env *Env, cmd *cobra.Command, done []appliedFile, failed error) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, done)
	}
	if len(done) == 0 {
		if failed != nil {
			return nil
		}
		_, err := fmt.Fprintln(env.Stdout, "nothing to do: the tables are at the version of this build")
		return err
	}
	rows := [][]string{}
	for _, a := range done {
		took := time.Duration(a.Duration * float64(time.Second))
		rows = append(rows, []string{a.Source, a.File, roughly(took)})
	}
	return printTable(env.Stdout, []string{"SOURCE", "APPLIED", "TIME"}, rows)
}

// migrateSettings reads the configuration and --only. It reports all mistakes in both.
func migrateSettings(env *Env, cmd *cobra.Command) (*config.Config, migrations.Scope, error) {
	only, wrong := scopeFlag(cmd)
	c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
	return c, only, err
}

// migrationState is an element of `migrate status --json`.
type migrationState struct {
	Source    string     `json:"source"`
	Version   int64      `json:"version"`
	File      string     `json:"file"`
	State     string     `json:"state"` // applied, pending, unknown
	AppliedAt *time.Time `json:"applied_at"`
}

func newMigrateStatus(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "list applied and pending migrations",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, only, err := migrateSettings(env, cmd)
			if err != nil {
				return err
			}
			states := []migrationState{}
			failed := eachSource(ctx, c.Sources, func(d *database) error {
				rows, err := migrations.Status(ctx, d.DB, d.Dialect, d.migrationOptions(only))
				for _, r := range rows {
					states = append(states, stateOf(d.source.Name, r))
				}
				return err
			}, dbopen.WithExisting())
			if err := printStates(env, cmd, states); err != nil {
				return err
			}
			return failed
		},
	}
	migrateFlags(cmd)
	return cmd
}

func stateOf(source string, r migrations.StatusRow) migrationState {
	s := migrationState{Source: source, Version: r.Version, File: r.File, State: "pending"}
	switch {
	case !r.Known:
		s.State = "unknown" // a newer build applied it
	case r.Applied:
		s.State = "applied"
	}
	if r.Applied && !r.AppliedAt.IsZero() {
		s.AppliedAt = &r.AppliedAt
	}
	return s
}

func printStates(env *Env, cmd *cobra.Command, states []migrationState) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, states)
	}
	if len(states) == 0 {
		return nil
	}
	rows := [][]string{}
	for _, s := range states {
		at := "-"
		if s.AppliedAt != nil {
			at = s.AppliedAt.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{s.Source, s.File, s.State, at})
	}
	return printTable(env.Stdout, []string{"SOURCE", "MIGRATION", "STATE", "APPLIED AT"}, rows)
}

const dialectFlag = "dialect"

func newMigratePrint(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "print the SQL of migrate up, for other migration tools",
		Long: `print prints the SQL of all migrations, with prefix and schema, and the statements that record
them. It does not connect to a database. Name the kind of database with --dialect, or give a
database URL.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return migratePrint(env, cmd) },
	}
	migrateFlags(cmd)
	cmd.Flags().String(dialectFlag, "", "kind of `database`: postgresql, mysql (also MariaDB) or sqlite; "+
		"default: the kind of the database URL")
	return cmd
}

// printedFile is an element of `migrate print --json`.
type printedFile struct {
	Version int64  `json:"version"`
	File    string `json:"file"`
	SQL     string `json:"sql"`
}

func migratePrint(env *Env, cmd *cobra.Command) error {
	only, wrong := scopeFlag(cmd)
	named, err := cmd.Flags().GetString(dialectFlag)
	if err != nil {
		return err
	}
	c, _, err := load(env, cmd, func(c *config.Config) error {
		if named == "" {
			return errors.Join(c.CheckSources(), wrong)
		}
		return wrong
	})
	if err != nil {
		return err
	}
	if len(c.Sources) > 1 {
		return usageError{fmt.Errorf("the file lists %d sources: print the SQL of one of them "+
			"with --config '' --dialect, --table-prefix and --schema", len(c.Sources))}
	}
	s := c.Sources[0]
	d := db.Dialect(named)
	if named == "" {
		if d, err = dbopen.DialectOf(s.DatabaseURL.Reveal()); err != nil {
			return usageError{err}
		}
	}
	files, err := migrations.Print(d, migrations.Options{Prefix: s.TablePrefix, Schema: s.Schema, Only: only})
	if err != nil {
		return usageError{err}
	}
	return printSQL(env, cmd, files)
}

func printSQL(env *Env, cmd *cobra.Command, files []migrations.File) error {
	if wantsJSON(cmd) {
		all := []printedFile{}
		for _, f := range files {
			all = append(all, printedFile{f.Version, f.Name, f.SQL})
		}
		return printJSON(env.Stdout, all)
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(env.Stdout, "-- %s\n\n%s\n", f.Name, f.SQL); err != nil {
			return err
		}
	}
	return nil
}
