package ci

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// statement is how a text begins that a database executes.
var statement = regexp.MustCompile(`(?s)^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|MERGE INTO|REPLACE INTO|` +
	`TRUNCATE|LOCK TABLES?|SET|SHOW|PRAGMA|CREATE (UNIQUE |TEMPORARY )?(TABLE|INDEX)|` +
	`ALTER (TABLE|INDEX)|DROP (TABLE|INDEX)|LISTEN|NOTIFY|VACUUM|ANALYZE)\s`)

// Where statements may stand: in the stores, and in what is not the product or is about somebody else's tables.
var placesOfSQL = map[string]string{
	"internal/store/":         "the stores",
	"internal/doctor/facts/":  "what doctor asks",
	"migrations/":             "the tables",
	"inbox/inbox.go":          "looks whether the table is there",
	"inbox/retry.go":          "looks whether the transaction answers",
	"inbox/inboxkafka/":       "what it tells an operator to execute, not what it executes",
	"internal/doctor/":        "what it tells an operator to execute, not what it executes",
	"internal/dbopen/":        "the settings of a connection",
	"outbox/outboxwatermill/": "the statements that Watermill's SQL publisher asks for",
	"examples/":               "tables of services",
	"internal/demo/":          "tables of services",
	"rigs/":                   "rigs look at the tables from outside",
	"bench/":                  "rigs look at the tables from outside",
	"internal/dbtest/":        "servers of tests",
	"internal/servertest/":    "servers of tests",
	"internal/gormtest/":      "servers of tests",
}

func TestStatementsStandInTheStoresAlone(t *testing.T) {
	used := map[string]bool{}
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		place := ""
		for prefix := range placesOfSQL {
			if strings.HasPrefix(path, prefix) && len(prefix) > len(place) {
				place = prefix
			}
		}
		for at, text := range literals(t, path) {
			switch {
			case !statement.MatchString(text):
			case place != "":
				used[place] = true
			default:
				t.Errorf("%s: a statement outside of internal/store: %s", at, text)
			}
		}
	}
	for place, why := range placesOfSQL {
		if !used[place] {
			t.Errorf("%s (%s) has no statements: remove it from this list", place, why)
		}
	}
}

// literals returns the texts of a file by their places.
func literals(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, content, parser.SkipObjectResolution)
	require.NoError(t, err)
	texts := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			require.NoError(t, err)
			texts[files.Position(l.Pos()).String()] = text
		}
		return true
	})
	return texts
}
