package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	sqldb "github.com/postroom/postroom/internal/db"
)

func (p *plan) apply(ctx context.Context, db *sql.DB) ([]Result, error) {
	// Most calls find nothing to do. They need only the right to read, and wait for no lock.
	if applied, err := p.versions(ctx, db); err == nil && len(p.pending(applied)) == 0 {
		return nil, nil
	}
	if err := p.createSchema(ctx, db); err != nil {
		return nil, err
	}
	lock := newTableLock(db, p.sql)
	if err := lock.prepare(ctx); err != nil {
		return nil, p.explain(fmt.Errorf("create %s: %w", p.names.Plain(lockTable), err))
	}
	if err := lock.acquire(ctx); err != nil {
		return nil, p.explain(err)
	}
	held, release := lock.hold(ctx)
	defer release()

	results, err := p.up(held, db, lock)
	if err != nil && errors.Is(context.Cause(held), ErrLockLost) {
		err = errors.Join(ErrLockLost, err) // the error of the cancelled statement says less
	}
	return results, p.explain(err)
}

// pending lists the files that are not in applied.
func (p *plan) pending(applied []appliedVersion) []file {
	done := map[int64]bool{}
	for _, v := range applied {
		done[v.version] = true
	}
	var pending []file
	for _, f := range p.files {
		if !done[f.version] {
			pending = append(pending, f)
		}
	}
	return pending
}

// up lets goose run the pending files. If another transaction conflicts with a file (SQLite: database is
// locked), up tries the file again. It can do so because the file was rolled back, or on MySQL can be
// repeated.
func (p *plan) up(ctx context.Context, db *sql.DB, lock *tableLock) ([]Result, error) {
	provider, err := goose.NewProvider(goose.DialectCustom, db, memFS(p.files),
		goose.WithStore(&store{plan: p, lock: lock}),
		goose.WithDisableGlobalRegistry(true), // ignore the application's own migrations
		goose.WithAllowOutofOrder(true),       // the second scope may be migrated after the first has moved on
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return nil, err
	}
	if err := p.checkForeign(ctx, db); err != nil {
		return nil, err
	}
	var results []Result
	err = lock.retry(ctx, func() error {
		applied, err := provider.Up(ctx)
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			results = append(results, toResults(partial.Applied)...)
			return &PartialError{
				Applied: results,
				Version: partial.Failed.Source.Version,
				File:    partial.Failed.Source.Path,
				Err:     partial.Err,
				atomic:  p.names.Dialect != MySQL,
			}
		}
		results = append(results, toResults(applied)...)
		return err
	})
	return results, err
}

// checkForeign fails if the user has tables with the names of ours. On other databases CREATE TABLE fails
// then. On MySQL a file must be repeatable, so it says IF NOT EXISTS, and would take such a table for ours.
// Our tables have a comment by which they are recognised.
func (p *plan) checkForeign(ctx context.Context, db *sql.DB) error {
	if p.names.Dialect != MySQL {
		return nil
	}
	applied, err := p.versions(ctx, db)
	if err != nil && !sqldb.IsMissingTable(err) {
		return err
	}
	var tables []string
	for _, f := range p.pending(applied) {
		tables = append(tables, f.tables...)
	}
	for _, name := range tables {
		var found string
		err := db.QueryRowContext(
			ctx,
			"SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = '"+
				p.names.Plain(name)+"' AND table_comment NOT LIKE 'Postroom:%'",
		).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for table %s: %w", p.names.Plain(name), err)
		}
		return fmt.Errorf(
			"table %s exists and is not Postroom's: give ours a prefix, `relay migrate up --table-prefix …`", found,
		)
	}
	return nil
}

func toResults(applied []*goose.MigrationResult) []Result {
	results := make([]Result, 0, len(applied))
	for _, m := range applied {
		results = append(results, Result{Version: m.Source.Version, File: m.Source.Path, Duration: m.Duration})
	}
	return results
}

// createSchema creates PostgreSQL's schema if it is missing. It looks first, because CREATE SCHEMA IF NOT
// EXISTS needs a right on the database even if the schema exists.
func (p *plan) createSchema(ctx context.Context, db *sql.DB) error {
	if p.names.Schema == "" {
		return nil
	}
	exists := func() (found bool, err error) {
		err = db.QueryRowContext(
			ctx, "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '"+p.names.Schema+"')",
		).Scan(&found)
		return found, err
	}
	found, err := exists()
	if err != nil {
		return fmt.Errorf("look for schema %s: %w", p.names.Schema, err)
	}
	if found {
		return nil
	}
	statement := `CREATE SCHEMA IF NOT EXISTS "` + p.names.Schema + `"`
	if _, err := db.ExecContext(ctx, statement); err != nil {
		if found, again := exists(); again == nil && found {
			return nil // another process created it between the look and CREATE
		}
		if sqldb.IsDenied(err) {
			return &hintError{kind: ErrNoAccess, cause: err, message: fmt.Sprintf(
				"schema %s is missing and this database user may not create it (%v): have an administrator run "+
					"CREATE SCHEMA \"%s\" AUTHORIZATION <this user>",
				p.names.Schema, err, p.names.Schema,
			)}
		}
		return fmt.Errorf("create schema %s: %w", p.names.Schema, err)
	}
	return nil
}

// explain adds to a missing right what would help.
func (p *plan) explain(err error) error {
	if err == nil || !sqldb.IsDenied(err) {
		return err
	}
	return &hintError{kind: ErrNoAccess, cause: err, message: fmt.Sprintf(
		"%v: this database user may not create tables here; let one that may run `relay migrate up%s`, or the SQL of "+
			"`relay migrate print%s`",
		err, p.flags, p.flags,
	)}
}
