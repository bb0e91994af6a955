package doctor

import (
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/migrations"
)

// tables compares the tables with this build's migrations.
func tables(f *Facts, found *findings) {
	up := f.relay("migrate up")
	switch {
	case errors.Is(f.Unusable, migrations.ErrNotMigrated):
		found.add(Problem, "tables.missing", f.table(db.Events), short(f.Unusable.Error()),
			"a relay does not start without these tables", up)
	case errors.Is(f.Unusable, migrations.ErrTooOld):
		found.add(Problem, "tables.old", f.table(db.Events), short(f.Unusable.Error()),
			"this build of the relay does not start", up)
	case errors.Is(f.Unusable, migrations.ErrTooNew):
		found.add(Problem, "tables.new", f.table(db.Events), short(f.Unusable.Error()),
			"this build of the relay does not start",
			"relay version", "go install github.com/postroom/postroom/cmd/relay@latest")
	default:
		ahead(f, found)
	}
	if f.Lock != nil {
		found.add(Warning, "tables.locked", f.table("postroom_schema_lock"),
			fmt.Sprintf("a migration runs, or its process has died: %s holds the lock for another %s", f.Lock.Owner,
				duration(f.Lock.Left)),
			"the tables may be changing. Another `relay migrate up` waits", f.relay("migrate status"))
	}
}

// ahead finds differences with which a relay works, and tables that are recorded but do not exist.
func ahead(f *Facts, found *findings) {
	for _, row := range f.Migrations {
		switch {
		case !row.Known:
			found.add(Note, "tables.new", row.File, fmt.Sprintf("%s was applied by a newer build than this one",
				row.File),
				"this build works with it. Update this build soon", "relay version")
		case !row.Applied:
			found.add(Warning, "tables.pending", row.File, fmt.Sprintf("%s is not applied", row.File),
				"relays of this build work, but without the features that need it", f.relay("migrate up"))
		default:
			lost(f, row, found, "tables.missing", f.relay("migrate print"))
		}
	}
}

// lost finds missing tables of an applied migration.
func lost(f *Facts, row migrations.StatusRow, found *findings, code, print string) {
	for _, name := range row.Tables {
		if is, asked := f.Tables[name]; asked && !is {
			found.add(Problem, code, f.table(name), row.Gone(f.table(name)), "everything that needs it fails", print)
		}
	}
}

// grants finds the rights that the relay's user lacks.
func grants(f *Facts, found *findings) {
	for _, g := range f.Grants {
		subject := g.On
		if f.Tables[g.On] {
			subject = f.table(g.On)
		}
		if g.Optional {
			why := "the relay does not notice a restore that reset the sequence of ids"
			if f.is(db.MySQL) {
				why = "every read asks for the ids of transactions that were rolled back, and doctor does not find " +
					"long transactions"
			}
			found.add(Warning, "grants.optional", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right,
				subject), why, g.SQL)
			continue
		}
		found.add(Problem, "grants.missing", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right,
			subject),
			"the relay fails when it needs this right; docs/tables.md lists all rights of the relay", g.SQL)
	}
}
