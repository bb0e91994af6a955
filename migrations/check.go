package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	sqldb "github.com/postroom/postroom/internal/db"
)

// needed is the version of each scope that this build needs. What later files add is disabled until they are
// applied. So an upgrade can replace the programs first, however many files it brings. A higher number makes
// tables of the previous release unusable, so it must never exceed the newest file of the previous release.
func needed() map[Scope]int64 { return map[Scope]int64{OutboxOnly: 1, InboxOnly: 2} }

// tolerance is how many versions the tables may be newer than the build. It is small, because the build
// cannot know what newer files change.
const tolerance = 1

// StatusRow is a migration that this build has, or that is recorded in the tables.
type StatusRow struct {
	Version   int64
	File      string
	Scope     Scope     // Both if the name of a newer build's file has no scope
	Known     bool      // false: applied by a newer build than this one
	Applied   bool      // false: pending
	AppliedAt time.Time // UTC; zero while pending
	Tables    []string  // default names of the tables that it creates; nil if not known
}

// Status lists the migrations of the chosen scope by version, including those that a newer build applied. If
// nothing was applied, all of them are pending. It only reads.
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
		_, scope, _ := parseName(v.name) // a newer build may name its files in another way
		rows = append(rows, StatusRow{Version: v.version, File: v.name, Scope: scope, Applied: true, AppliedAt: v.at})
	}
	return rows
}

// Check returns an error unless this build can work with the tables of the chosen scope. The tables may be
// those of the previous release, whose missing features are then disabled, or one version newer than the
// build. Check needs only SELECT on <prefix>postroom_schema. The error is ErrNotMigrated, ErrTooOld,
// ErrTooNew or ErrNoAccess with a message that says what to do, or it is the database's own error.
func Check(ctx context.Context, db *sql.DB, d Dialect, o Options) error {
	p, err := newPlan(d, o)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	applied, err := p.versions(ctx, db)
	if sqldb.IsMissingTable(err) {
		return p.unusable(ErrNotMigrated, err, fmt.Sprintf(
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

// compare compares the files of one scope with the applied versions.
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
		return p.unusable(ErrNotMigrated, nil, fmt.Sprintf("no %s: run `relay migrate up%s`", where, p.flags))
	case old:
		return p.unusable(
			ErrTooOld, nil,
			fmt.Sprintf(
				"%s: %d versions behind this build, which knows them up to %s and does not work without %05d: run "+
					"`relay migrate up%s`",
				where, missing, newest, p.needed[scope], p.flags,
			),
		)
	case len(newer) > tolerance:
		return p.unusable(
			ErrTooNew, nil,
			fmt.Sprintf("%s: they are at %s, this build knows them up to %s: use a newer build of Postroom",
				where, newer[len(newer)-1].name, newest),
		)
	}
	return nil
}

// unknown lists applied versions of a scope for which this build has no file. A version whose name has no
// scope counts for both.
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

func (p *plan) unusable(kind, cause error, message string) error {
	return &hintError{kind: kind, cause: cause, message: kind.Error() + ": " + message}
}

// unreadable explains why the version table could not be read.
func (p *plan) unreadable(err error) error {
	if sqldb.IsDenied(err) {
		return p.unusable(
			ErrNoAccess, err,
			fmt.Sprintf("%v: GRANT SELECT ON %s to this database user", err, p.names.Plain(versionTable)),
		)
	}
	return fmt.Errorf("read %s: %w", p.names.Plain(versionTable), err)
}
