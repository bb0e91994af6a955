package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/store/source"
	"github.com/postroom/postroom/migrations"
)

// database is an open source.
type database struct {
	*dbopen.Target
	source config.Source
}

func openSource(ctx context.Context, s config.Source, opts ...dbopen.Option) (*database, error) {
	target, err := dbopen.Open(ctx, s.DatabaseURL.Reveal(), opts...)
	if err != nil {
		return nil, sourceError(s, err)
	}
	return &database{Target: target, source: s}, nil
}

func (d *database) names() db.Names {
	return db.Names{Dialect: d.Dialect, Prefix: d.source.TablePrefix, Schema: d.source.Schema}
}

// tables returns a store that queries the source's tables.
func (d *database) tables() (*source.Store, error) { return source.New(d.DB, d.names()) }

// checkName returns an error if the tables belong to a source of another name. Then the URL or the name is
// wrong.
func (d *database) checkName(ctx context.Context) error {
	s, err := d.tables()
	if err == nil {
		err = s.CheckIs(ctx, d.source.Name)
	}
	if err != nil {
		return fmt.Errorf("%w: relay source list shows the name; pass it with --source", err)
	}
	return nil
}

// checkGivenName does the same for commands that only read. Without --source they read any source.
func (d *database) checkGivenName(ctx context.Context) error {
	if !d.source.NameGiven {
		return nil
	}
	return d.checkName(ctx)
}

func (d *database) migrationOptions(only migrations.Scope) migrations.Options {
	return migrations.Options{
		Prefix: d.source.TablePrefix, Schema: d.source.Schema, Only: only, CommandFlags: d.source.CommandFlags,
	}
}

// diagnose returns an error that names the missing tables and what to do, and nil if no recorded table is missing.
func (d *database) diagnose(ctx context.Context, only migrations.Scope) error {
	return migrations.Diagnose(ctx, d.DB, d.Dialect, d.migrationOptions(only))
}

// migrateUp returns the command that brings this database's tables up to date.
func (d *database) migrateUp() string { return "relay migrate up" + d.source.CommandFlags }

func sourceError(s config.Source, err error) error {
	return fmt.Errorf("source %q: %w", s.Name, err)
}

// eachSource opens one source after another and calls do. It continues when a source fails.
func eachSource(ctx context.Context, sources []config.Source, do func(*database) error, opts ...dbopen.Option) error {
	var errs []error
	for _, s := range sources {
		d, err := openSource(ctx, s, append(opts, dbopen.WithMaxOpen(2))...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := do(d); err != nil {
			errs = append(errs, sourceError(s, err))
		}
		_ = d.DB.Close() // nothing was left to write
	}
	return errors.Join(errs...)
}
