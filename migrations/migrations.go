package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Dialect names a family of databases with the same SQL. It is the same type in outbox, inbox, relay and
// migrations.
type Dialect = db.Dialect

// The dialects that Postroom speaks.
const (
	// PostgreSQL is PostgreSQL 15 and later.
	PostgreSQL = db.PostgreSQL
	// MySQL is MySQL 8.0.16 and MariaDB 10.6, and later.
	MySQL = db.MySQL
	// SQLite is SQLite 3.35 and later.
	SQLite = db.SQLite
)

// Scope says which tables to use, because a service's inbox and outbox may be in different databases.
type Scope string

const (
	// Both is the outbox and the inbox. It is the zero value.
	Both Scope = ""
	// OutboxOnly is the tables that producers and the relay use.
	OutboxOnly Scope = "outbox"
	// InboxOnly is the tables that consumers use.
	InboxOnly Scope = "inbox"
)

// validate returns an error that lists the scopes if s is not one of them.
func (s Scope) validate() error {
	switch s {
	case Both, OutboxOnly, InboxOnly:
		return nil
	}
	return fmt.Errorf("unknown scope %q: use %q, %q, or leave it empty for both", string(s), OutboxOnly, InboxOnly)
}

// includes reports whether s contains files of the scope other.
func (s Scope) includes(other Scope) bool { return s == Both || s == other }

// Options says where the tables are, and which of them to use. The zero value is all tables, with their
// default names, in the connection's default schema.
type Options struct {
	// Prefix is put before every table's name. It has at most 30 characters of a-z, 0-9 and _, and does not
	// start with a digit. Default: none.
	Prefix string
	// Schema is a schema of PostgreSQL. On other databases it must be empty. Apply creates it if it is
	// missing. Default: the first schema of the connection's search_path.
	Schema string
	// Only limits the work to one scope. The other scope can be applied later, with the same prefix and
	// schema.
	Only Scope
	// CommandFlags are added after `relay migrate up` in messages, so that the command works as it is. They
	// are flags that name the database and its tables, with a space before each. Default: --table-prefix and
	// --schema, as they are set here.
	CommandFlags string
}

// Result is a file that Apply applied.
type Result struct {
	Version  int64         // the number that the file's name starts with
	File     string        // for example 00001_outbox.sql
	Duration time.Duration // how long its statements took
}

// Apply brings the tables to the version of this build, and returns the files that it applied. It returns
// none if there was nothing to do. It may run in many processes at the same time. One of them works, and the
// others wait until it has finished or ctx ends.
//
// If a file fails, the error is a *PartialError, and the results are the files that were applied before it.
// If a right is missing, the error says which, and what to run.
func Apply(ctx context.Context, db *sql.DB, d Dialect, o Options) ([]Result, error) {
	p, err := newPlan(d, o)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	results, err := p.apply(ctx, db)
	if err != nil {
		return results, fmt.Errorf("migrations: %w", err)
	}
	return results, nil
}

// plan is the work of one call: the files, and the names to use.
type plan struct {
	names db.Names
	only  Scope
	flags string // for the commands in messages
	files []file // files of the chosen scope, rewritten, by version
	sql   bookkeeping

	newest int64 // the highest version that this build knows, of either scope
	needed map[Scope]int64
}

// newPlan checks the arguments.
func newPlan(d Dialect, o Options) (*plan, error) {
	names := db.Names{Dialect: d, Prefix: o.Prefix, Schema: o.Schema}
	if err := names.Validate(); err != nil {
		return nil, err
	}
	if err := o.Only.validate(); err != nil {
		return nil, err
	}
	all, err := load(names)
	if err != nil {
		return nil, err
	}
	p := &plan{names: names, only: o.Only, flags: o.flags(), sql: newBookkeeping(names), needed: needed()}
	for _, f := range all {
		p.newest = max(p.newest, f.version)
		if o.Only.includes(f.scope) {
			p.files = append(p.files, f)
		}
	}
	return p, nil
}

// flags returns the command-line flags that name the tables.
func (o Options) flags() string {
	s := o.CommandFlags
	if s == "" && o.Prefix != "" {
		s += " --table-prefix " + o.Prefix
	}
	if o.CommandFlags == "" && o.Schema != "" {
		s += " --schema " + o.Schema
	}
	if o.Only == InboxOnly { // a consumer's database may have no outbox
		s += " --only inbox"
	}
	return s
}
