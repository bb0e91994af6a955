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

// FS returns the SQL files as they are written, with default names, in the folders postgres, mysql and
// sqlite. goose can read them. For any other tool, the statements after `-- +goose Up` are plain SQL. The
// files do not record their version, which Check and the relay need. The files that Print returns do.
func FS() fs.FS { return embedded }

// File is a migration with the statements that run.
type File struct {
	Version int64
	Name    string // for example 00001_outbox.sql
	SQL     string
}

// Print returns the SQL that Apply would run on an empty database, followed by the statements that record it.
// It is for people and tools that run SQL themselves. After that, Apply finds nothing to do.
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
	tables  []string // default names of the tables that it creates
	sql     string
}

// folder returns the directory of a dialect's files.
func folder(d Dialect) string {
	if d == PostgreSQL {
		return "postgres"
	}
	return string(d)
}

// load reads all files of a dialect, by version, and rewrites them for names.
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

// parseName splits 00003_outbox_archive.sql into its version and its scope. The word after the number is the
// scope.
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
