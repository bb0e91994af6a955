package doctest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const patterns = "docs/patterns/"

// The sections of a pattern's page, in their order. Before them stands the problem.
var patternSections = []string{"What happens", "The code", "Without it", "When not to use it", "Try it"}

func TestEveryPatternHasAPictureCodeAndTestsThatExist(t *testing.T) {
	known, table := testsOfTheRepository(t), read(t, patterns+"README.md")
	pages, err := filepath.Glob(filepath.Join(root, patterns, "*.md"))
	require.NoError(t, err)
	checked := 0
	for _, path := range pages {
		name := filepath.Base(path)
		if name == "README.md" {
			continue
		}
		checked++
		page := patterns + name
		text := read(t, page)
		sections := strings.Split(text, "\n## ")[1:]
		require.Len(t, sections, len(patternSections), page)
		for i, section := range sections {
			require.True(t, strings.HasPrefix(section, patternSections[i]+"\n"), "%s has no section %s",
				page, patternSections[i])
		}
		require.Contains(t, sections[0], "```mermaid\n", "%s has no picture", page)
		quoted, _ := quotes(page, sections[1])
		require.NotEmpty(t, quoted, "%s has no code", page)
		require.Regexp(t, testName, sections[2], "%s names no test that shows what goes wrong", page)
		require.Contains(t, sections[4], "```sh\n", "%s has nothing to type", page)
		require.Contains(t, table, "]("+name+")", "%s is not in the table", page)
		requireTests(t, page, text, known)
	}
	require.GreaterOrEqual(t, checked, 8)
	requireTests(t, patterns+"README.md", table, known)
}

func requireTests(t *testing.T, page, text string, known map[string]bool) {
	t.Helper()
	for _, m := range testName.FindAllStringSubmatch(text, -1) {
		require.True(t, known[m[1]], "%s names the test %s, which is not there: was it renamed or moved?", page, m[1])
	}
}
