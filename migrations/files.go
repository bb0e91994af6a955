package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

//go:embed postgres/*.sql mysql/*.sql sqlite/*.sql
var embedded embed.FS

// FS returns the SQL files as they are written, with default names, in the folders
// postgres, mysql and sqlite. They can be given to goose; the statements after
// `-- +goose Up` are plain SQL for any other tool. They do not record their version:
// Check and the relay look for that record, which the files that Print returns make.
func FS() fs.FS { return embedded }

// File is a migration as it runs.
type File struct {
	Version int64
	Name    string // for example 00001_outbox.sql
	SQL     string
}

// Print returns the SQL that Apply would run on an empty database, followed by the
// statements that record it, for people and tools that run SQL themselves. When they
// have, Apply finds nothing to do.
func Print(d Dialect, o Options) ([]File, error) {
	p, err := newPlan(d, o)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	out := make([]File, 0, len(p.files))
	for _, f := range p.files {
		out = append(out, File{Version: f.version, Name: f.name, SQL: f.sql + "\n" + p.sql.record(f)})
	}
	return out, nil
}

// file is one embedded file, rewritten.
type file struct {
	version int64
	name    string
	scope   Scope
	tables  []string // default names of those that it creates
	sql     string
}

// folder is where a dialect's files are.
func folder(d Dialect) string {
	if d == PostgreSQL {
		return "postgres"
	}
	return string(d)
}

// load reads all files of a dialect, by version, rewritten for names.
func load(names db.Names) ([]file, error) {
	dir := folder(names.Dialect)
	entries, err := fs.ReadDir(embedded, dir) // sorted by name, so by version
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		text, err := fs.ReadFile(embedded, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		version, scope, err := parseName(e.Name())
		if err != nil {
			return nil, err
		}
		files = append(
			files,
			file{version: version, name: e.Name(), scope: scope, tables: tablesOf(string(text)), sql: string(text)},
		)
	}
	rewrite(files, names)
	return files, nil
}

// parseName splits 00003_outbox_archive.sql into its version and its scope: the word
// after the number says which scope a file belongs to.
func parseName(name string) (int64, Scope, error) {
	number, rest, _ := strings.Cut(name, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || version < 1 {
		return 0, "", fmt.Errorf("migration %q: its name must start with a number", name)
	}
	for _, scope := range []Scope{OutboxOnly, InboxOnly} {
		if strings.HasPrefix(rest, string(scope)+"_") || rest == string(scope)+".sql" {
			return version, scope, nil
		}
	}
	return 0, "", fmt.Errorf("migration %q: outbox or inbox must follow its number", name)
}
