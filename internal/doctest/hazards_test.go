package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const hazards = "docs/hazards.md"

// hazard is an entry of docs/hazards.md.
type hazard struct {
	name  string
	text  string
	tests []string // such as internal/store/relay.TestX
}

var testName = regexp.MustCompile("`([\\w/]+\\.Test\\w+)`")

func hazardEntries(text string) []hazard {
	var found []hazard
	for _, section := range strings.Split(text, "\n### ")[1:] {
		section, _, _ = strings.Cut(section, "\n## ") // a heading over several entries
		name, rest, _ := strings.Cut(section, "\n")
		h := hazard{name: name, text: rest}
		for _, m := range testName.FindAllStringSubmatch(rest, -1) {
			h.tests = append(h.tests, m[1])
		}
		found = append(found, h)
	}
	return found
}

// hazardNames lists the names of all entries.
func hazardNames(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, h := range hazardEntries(read(t, hazards)) {
		names = append(names, h.name)
	}
	require.NotEmpty(t, names)
	return names
}

// sources calls visit with every Go file of the repository, relative to root.
func sources(t *testing.T, visit func(file, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			visit(filepath.ToSlash(relative), read(t, relative))
		}
		return nil
	})
	require.NoError(t, err)
}

// testsOfTheRepository lists all tests by their folders, as internal/store/relay.TestX.
func testsOfTheRepository(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	sources(t, func(file, text string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				found[path.Dir(file)+"."+fn.Name.Name] = true
			}
		}
	})
	return found
}

func TestEveryHazardHasAPictureARuleAndTestsThatExist(t *testing.T) {
	known := testsOfTheRepository(t)
	seen := map[string]bool{}
	text := read(t, hazards)
	for _, h := range hazardEntries(text) {
		require.Regexp(t, `^[a-z]+(-[a-z]+)+$`, h.name, "a hazard's name is lower case, with hyphens")
		require.False(t, seen[h.name], "%s is there twice", h.name)
		seen[h.name] = true
		require.Contains(t, h.text, "```text\n", "%s has no picture", h.name)
		require.Contains(t, h.text, "**Rule.** ", "%s has no rule", h.name)
		require.Contains(t, text, "\n| ["+h.name+"](#"+h.name+") |", "%s is not in the index", h.name)
		require.NotEmpty(t, h.tests, "%s names no test", h.name)
		for _, name := range h.tests {
			require.True(
				t, known[name], "%s names the test %s, which is not there: was it renamed or moved?", h.name, name,
			)
		}
	}
	require.Greater(t, len(seen), 50)
}

// A citation is the word hazard and a name, also over the end of a comment's line.
var (
	citation = regexp.MustCompile(`(?i)\bhazard(?:[ \t]+|\s*\n\s*//\s*)([a-z0-9-]+)`)
	byNumber = regexp.MustCompile(`(?i)\bhazards?(?:[ \t]+|\s*\n\s*//\s*)\d+|\bdesign(?:[ \t]+|\s*\n\s*//\s*)§`)
)

// badCitations returns what a source cites that nobody can look up.
func badCitations(text string, known []string) []string {
	bad := byNumber.FindAllString(text, -1)
	for _, m := range citation.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, m[1]) {
			bad = append(bad, m[0])
		}
	}
	return bad
}

func TestEveryCitedHazardIsDescribed(t *testing.T) {
	known, cited := hazardNames(t), map[string]bool{}
	sources(t, func(file, text string) {
		if strings.HasPrefix(file, "internal/doctest/") {
			return
		}
		require.Empty(
			t, badCitations(text, known), "%s cites what %s does not have: write hazard and a name of an entry", file,
			hazards,
		)
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			cited[m[1]] = true
		}
	})
	for _, name := range known {
		require.True(
			t, cited[name], "no Go file cites %s: the code or the test that it is about says hazard %s", name, name,
		)
	}
}

func TestACitationThatLeadsNowhereIsFound(t *testing.T) {
	known := []string{"late-commit"}
	for text, want := range map[string]string{
		"// later (hazard 6).":                 "hazard 6",
		"// later (hazards\n// 6 and 8).":      "hazards\n// 6",
		"// This is design §5.":                "design §",
		"// Hazard early-commit: two writers.": "Hazard early-commit",
		"// see (hazard\n\t// early-commit)":   "hazard\n\t// early-commit",
	} {
		require.Contains(t, badCitations(text, known), want, text)
	}
	require.Empty(t, badCitations("// see docs/hazards.md, hazard late-commit, and (hazard\n// late-commit).", known))
}
