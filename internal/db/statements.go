package db

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Load reads the statements of the dialect n.Dialect from its file in files (postgres.sql, mysql.sql
// or sqlite.sql) into structs: into has pointers to structs, whose fields are strings. Table names are
// n's. A file is blocks:
//
//	-- name: DeleteRun
//	-- Why the statement is as it is, in comment lines.
//	DELETE FROM {outbox_events} WHERE … {{Fence}}
//
//	-- part: Fence
//	AND EXISTS (SELECT 1 FROM {outbox_leases} …)
//
// A name is a field's. A part is text that statements and other parts of the same file share: {{Fence}}
// is replaced by it. The comment lines at the beginning and at the end of a block are not sent.
//
// Load returns an error that names every statement that a field lacks, every one that has no field, and
// every part that is unknown or not used.
func Load(files fs.FS, n Names, into ...any) error {
	if err := n.Validate(); err != nil {
		return err
	}
	file := For(n.Dialect, "postgres.sql", "mysql.sql", "sqlite.sql")
	text, err := fs.ReadFile(files, file)
	if err != nil {
		return err
	}
	f, err := parseFile(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return f.fill(file, n, into)
}

// sqlFile is what a .sql file has: statements and parts by name, and which parts were used.
type sqlFile struct {
	statements, parts map[string]string
	used              map[string]bool
}

var (
	blockStart = regexp.MustCompile(`(?m)^-- (name|part): (\S+)\n`)
	inclusion  = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

func parseFile(text string) (*sqlFile, error) {
	f := &sqlFile{statements: map[string]string{}, parts: map[string]string{}, used: map[string]bool{}}
	starts := blockStart.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		kind, name, body := text[at[2]:at[3]], text[at[4]:at[5]], text[at[1]:end]
		for strings.HasPrefix(body, "--") {
			_, body, _ = strings.Cut(body, "\n")
		}
		blocks := f.statements
		if kind == "part" {
			blocks = f.parts
		}
		if _, twice := blocks[name]; twice {
			return nil, fmt.Errorf("%s %s is there twice", kind, name)
		}
		blocks[name] = withoutLastComment(body)
	}
	return f, nil
}

// withoutLastComment leaves out the comment lines at the end of a block: they are about what follows in the file.
func withoutLastComment(body string) string {
	for {
		body = strings.TrimSpace(body)
		start := strings.LastIndexByte(body, '\n') + 1
		if !strings.HasPrefix(body[start:], "--") {
			return body
		}
		body = body[:start]
	}
}

func (f *sqlFile) fill(file string, n Names, into []any) error {
	var problems []error
	known := map[string]bool{}
	for _, target := range into {
		v := reflect.ValueOf(target).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			known[name] = true
			statement, err := f.include(f.statements[name], nil)
			if statement == "" && err == nil {
				err = errors.New("no statement has this name")
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %s: %w", file, name, err))
			}
			v.Field(i).SetString(n.Expand(statement))
		}
	}
	for name := range f.statements {
		if !known[name] {
			problems = append(problems, fmt.Errorf("%s: %s: no field has this name", file, name))
		}
	}
	for name := range f.parts {
		if !f.used[name] {
			problems = append(problems, fmt.Errorf("%s: the part %s is not used", file, name))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

// include replaces each {{part}} by its text. within are the parts around this text.
func (f *sqlFile) include(text string, within []string) (string, error) {
	var problem error
	text = inclusion.ReplaceAllStringFunc(text, func(s string) string {
		name := s[2 : len(s)-2]
		part, there := f.parts[name]
		if !there || slices.Contains(within, name) {
			problem = fmt.Errorf("the part %s is unknown, or includes itself", name)
			return s
		}
		f.used[name] = true
		part, err := f.include(part, append(within, name))
		if err != nil {
			problem = err
		}
		return part
	})
	return text, problem
}
