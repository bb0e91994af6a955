package doctor

import (
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/migrations"
)

// tables holds the tables against this build.
func tables(f *Facts, found *findings) {
	up := f.relay("migrate up")
	switch {
	case errors.Is(f.Refused, migrations.ErrNotMigrated):
		found.add(Problem, "tables.missing", f.table(dialect.Events), short(f.Refused.Error()), "a relay does not start without them", up)
	case errors.Is(f.Refused, migrations.ErrTooOld):
		found.add(Problem, "tables.old", f.table(dialect.Events), short(f.Refused.Error()), "this build of the relay does not start", up)
	case errors.Is(f.Refused, migrations.ErrTooNew):
		found.add(Problem, "tables.new", f.table(dialect.Events), short(f.Refused.Error()), "this build of the relay does not start",
			"relay version", "go install github.com/postroom/postroom/cmd/relay@latest")
	default:
		ahead(f, found)
	}
	if f.Lock != nil {
		found.add(Warning, "tables.locked", f.table("postroom_schema_lock"),
			fmt.Sprintf("a migration runs, or its process died: %s holds the lock for %s more", f.Lock.Owner, duration(f.Lock.Left)),
			"the tables may be changing; another `relay migrate up` waits", f.relay("migrate status"))
	}
}

// ahead tells of differences that a relay works with, and of tables that are recorded
// and not there.
func ahead(f *Facts, found *findings) {
	for _, row := range f.Migrations {
		switch {
		case !row.Known:
			found.add(Note, "tables.new", row.File, fmt.Sprintf("%s was applied by a newer build than this one", row.File),
				"this build works with it; run a newer one soon", "relay version")
		case !row.Applied:
			found.add(Warning, "tables.pending", row.File, fmt.Sprintf("%s is not applied", row.File),
				"relays of this build work, with the features off that need it", f.relay("migrate up"))
		default:
			lost(f, row, found, "tables.missing", f.relay("migrate print"))
		}
	}
}

// lost tells of the tables of an applied migration that were looked for and are not there.
func lost(f *Facts, row migrations.StatusRow, found *findings, code, print string) {
	for _, name := range row.Tables {
		if is, asked := f.Tables[name]; asked && !is {
			found.add(Problem, code, f.table(name), row.Gone(f.table(name)), "what needs it fails", print)
		}
	}
}
