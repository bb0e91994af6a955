package db

import (
	"fmt"
	"regexp"
	"strings"
)

// MaxPrefix is the longest table prefix, in characters, so that the longest
// name with its prefix stays below PostgreSQL's limit of 63.
const MaxPrefix = 30

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ValidIdentifier reports whether a name can be used for a table or a column.
func ValidIdentifier(name string) bool { return identifier.MatchString(name) }

// Names turns the default table names into those of one installation.
type Names struct {
	Dialect Dialect
	Prefix  string // comes before each table name
	Schema  string // PostgreSQL only; empty: the connection's search path
}

// Validate returns an error that names the dialect, prefix or schema that cannot be used.
func (n Names) Validate() error {
	if err := n.Dialect.Validate(); err != nil {
		return err
	}
	if n.Prefix != "" && (!identifier.MatchString(n.Prefix) || len(n.Prefix) > MaxPrefix) {
		return fmt.Errorf(
			"table prefix %q: want at most %d of a-z, 0-9 and _, not starting with a digit", n.Prefix, MaxPrefix,
		)
	}
	if n.Schema != "" && n.Dialect != PostgreSQL {
		return fmt.Errorf(
			"schema %q: only PostgreSQL has schemas; for %s name the database in its URL", n.Schema, n.Dialect,
		)
	}
	if n.Schema != "" && !identifier.MatchString(n.Schema) {
		return fmt.Errorf("schema %q: want at most 63 of a-z, 0-9 and _, not starting with a digit", n.Schema)
	}
	return nil
}

// Table returns the quoted name of a table, with prefix and schema, ready for SQL.
func (n Names) Table(name string) string {
	if n.Schema != "" {
		return n.Quote(n.Schema) + "." + n.Quote(n.Prefix+name)
	}
	return n.Quote(n.Prefix + name)
}

// Plain returns a table's name without quotes, for errors and logs.
func (n Names) Plain(name string) string {
	if n.Schema != "" {
		return n.Schema + "." + n.Prefix + name
	}
	return n.Prefix + name
}

// Expand replaces every {table} in a statement by the quoted name of that table.
func (n Names) Expand(statement string) string {
	return placeholder.ReplaceAllStringFunc(statement, func(s string) string {
		return n.Table(s[1 : len(s)-1])
	})
}

var placeholder = regexp.MustCompile(`\{(outbox|inbox|postroom)_[a-z_]+\}`)

// Quote returns an identifier in the dialect's quotes.
func (n Names) Quote(name string) string {
	q := For(n.Dialect, `"`, "`", `"`)
	return q + strings.ReplaceAll(name, q, q+q) + q
}
