package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	sqldb "github.com/postroom/postroom/internal/db"
)

// needed is the version of each scope that this build does not work without. What later files add
// is off until they are applied, so that an upgrade can do the programs first, however
// many files it brings. Whoever raises one of these makes tables of the release before
// unusable: never beyond the newest file of the previous release.
func needed() map[Scope]int64 { return map[Scope]int64{OutboxOnly: 1, InboxOnly: 2} }

// tolerance is how many versions the tables may be newer than the build, which cannot know
// what they change.
const tolerance = 1

// StatusRow is a migration that this build knows, or that the tables have.
type StatusRow struct {
	Version   int64
	File      string
	Scope     Scope     // Both if a newer build's file does not tell
	Known     bool      // false: applied by a newer build than this one
	Applied   bool      // false: pending
	AppliedAt time.Time // UTC; zero while pending
	Tables    []string  // default names of those that it makes; nil if not known
}

// Status lists the migrations of the chosen scope by version, with those that a newer
// build applied. Where nothing was applied all are pending. It only reads.
func Status(ctx context.Context, db *sql.DB, d Dialect, o Options) ([]StatusRow, error) {
	p, err := newPlan(d, o)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	applied, err := p.versions(ctx, db)
	if err != nil && !sqldb.IsMissingTable(err) {
		return nil, fmt.Errorf("migrations: %w", p.unreadable(err))
	}
	return p.status(applied), nil
}

func (p *plan) status(applied []appliedVersion) []StatusRow {
	at := map[int64]time.Time{}
	for _, v := range applied {
		at[v.version] = v.at
	}
	var rows []StatusRow
	for _, f := range p.files {
		when, done := at[f.version]
		rows = append(rows, StatusRow{
			Version: f.version, File: f.name, Scope: f.scope, Known: true, Applied: done,
			AppliedAt: when, Tables: f.tables,
		})
	}
	for _, v := range p.unknown(applied, p.only) {
		_, scope, _ := parseName(v.name) // a newer build may name its files otherwise
		rows = append(rows, StatusRow{Version: v.version, File: v.name, Scope: scope, Applied: true, AppliedAt: v.at})
	}
	return rows
}

// Check says whether this build can work with the tables of the chosen scope: they may be
// those of the previous release, with the features off that they lack, or one version newer
// than the build. It needs SELECT on <prefix>postroom_schema and
// nothing else. Otherwise the error is ErrNotMigrated, ErrTooOld, ErrTooNew or
// ErrNoAccess, with a message that says what to do, or what the database said.
func Check(ctx context.Context, db *sql.DB, d Dialect, o Options) error {
	p, err := newPlan(d, o)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	applied, err := p.versions(ctx, db)
	if sqldb.IsMissingTable(err) {
		return p.refuse(ErrNotMigrated, err, fmt.Sprintf(
			"there is no table %s: run `relay migrate up%s`; where another tool makes the tables, it must also run "+
				"the last statements of `relay migrate print%s`",
			p.names.Plain(versionTable), p.flags, p.flags,
		))
	}
	if err != nil {
		return p.unreadable(err)
	}
	for _, scope := range []Scope{OutboxOnly, InboxOnly} {
		if p.only.includes(scope) {
			if err := p.compare(scope, applied); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare holds the files of one scope against the applied versions.
func (p *plan) compare(scope Scope, applied []appliedVersion) error {
	known, missing, old := 0, 0, false
	pending := map[int64]bool{}
	for _, f := range p.pending(applied) {
		pending[f.version] = true
	}
	newest := ""
	for _, f := range p.files {
		if f.scope != scope {
			continue
		}
		known++
		newest = f.name
		if pending[f.version] {
			missing++
			old = old || f.version <= p.needed[scope]
		}
	}
	where := fmt.Sprintf("%s tables recorded in %s", scope, p.names.Plain(versionTable))
	newer := p.unknown(applied, scope)
	switch {
	case missing == known:
		return p.refuse(ErrNotMigrated, nil, fmt.Sprintf("no %s: run `relay migrate up%s`", where, p.flags))
	case old:
		return p.refuse(
			ErrTooOld, nil,
			fmt.Sprintf(
				"%s: %d versions behind this build, which knows them up to %s and does not work without %05d: run "+
					"`relay migrate up%s`",
				where, missing, newest, p.needed[scope], p.flags,
			),
		)
	case len(newer) > tolerance:
		return p.refuse(
			ErrTooNew, nil,
			fmt.Sprintf("%s: they are at %s, this build knows them up to %s: use a newer build of Postroom",
				where, newer[len(newer)-1].name, newest),
		)
	}
	return nil
}

// unknown lists applied versions of a scope that this build has no file for. One whose
// name tells no scope counts for both.
func (p *plan) unknown(applied []appliedVersion, scope Scope) []appliedVersion {
	var unknown []appliedVersion
	for _, v := range applied {
		if v.version <= p.newest {
			continue
		}
		_, of, err := parseName(v.name)
		if err != nil || scope.includes(of) {
			unknown = append(unknown, v)
		}
	}
	return unknown
}

func (p *plan) refuse(kind, cause error, message string) error {
	return &hintError{kind: kind, cause: cause, message: kind.Error() + ": " + message}
}

// unreadable explains why the version table could not be read.
func (p *plan) unreadable(err error) error {
	if sqldb.IsDenied(err) {
		return p.refuse(
			ErrNoAccess, err,
			fmt.Sprintf("%v: GRANT SELECT ON %s to this database user", err, p.names.Plain(versionTable)),
		)
	}
	return fmt.Errorf("read %s: %w", p.names.Plain(versionTable), err)
}
