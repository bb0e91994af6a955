package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const architecture = "docs/architecture.md"

// spans are the pieces in backquotes, outside of code blocks.
var span = regexp.MustCompile("`([^`\n]+)`")

func spans(text string) []string {
	for _, b := range parse(architecture, text) {
		text = strings.Replace(text, b.code, "", 1)
	}
	var found []string
	for _, m := range span.FindAllStringSubmatch(strings.ReplaceAll(text, "```", ""), -1) {
		found = append(found, m[1])
	}
	return found
}

var pathLike = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)*/?$`)

// isPath tells paths from identifiers such as relay.Sink.
func isPath(s string) bool {
	switch filepath.Ext(s) {
	case ".go", ".sql", ".md", ".yaml", ".xml", ".mod", ".txtar":
		return pathLike.MatchString(s)
	}
	return strings.Contains(s, "/") && pathLike.MatchString(s)
}

func TestEveryPathOfTheArchitecturePageExists(t *testing.T) {
	checked := 0
	for _, s := range spans(read(t, architecture)) {
		if !isPath(s) {
			continue
		}
		found, err := filepath.Glob(filepath.Join(root, s))
		require.NoError(t, err)
		require.NotEmpty(t, found, "%s names %s, which is not there", architecture, s)
		checked++
	}
	require.Greater(t, checked, 30)
}

func TestEveryPackageIsNamedOnTheArchitecturePage(t *testing.T) {
	named := map[string]bool{}
	for _, s := range spans(read(t, architecture)) {
		named[strings.TrimSuffix(s, "/")] = true
	}
	for _, folder := range packages(t) {
		// Programs of their own have their own pages.
		if top, _, _ := strings.Cut(folder, "/"); top == "examples" || top == "bench" {
			folder = top
		}
		require.True(
			t, named[folder], "%s has Go files and is not named in %s: say there what it is for", folder, architecture,
		)
	}
}

// packages lists the folders with Go files, relative to root.
func packages(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".") ||
			strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if folder = filepath.ToSlash(folder); err == nil && !seen[folder] {
			seen[folder] = true
			found = append(found, folder)
		}
		return err
	})
	require.NoError(t, err)
	require.Contains(t, found, "outbox")
	_, err = os.Stat(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	return found
}
