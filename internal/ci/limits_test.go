package ci

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The limits of a house that a newcomer can read.
const (
	maxColumns = 120 // a tab counts 4
	maxLines   = 400 // of a file
	maxMethods = 8   // of an interface, unless its comment says "methods" and why
	maxFiles   = 25  // of a package, without its tests
)

func TestEveryFileIsWithinTheLimits(t *testing.T) {
	files := map[string]int{} // of a package
	for _, path := range goFiles(t) {
		content, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		lines := strings.Split(string(content), "\n")
		for i, line := range lines {
			if columns := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); columns > maxColumns {
				t.Errorf("%s:%d has %d columns; the limit is %d", path, i+1, columns, maxColumns)
			}
		}
		if n := len(lines) - 1; n > maxLines {
			t.Errorf("%s has %d lines; the limit is %d", path, n, maxLines)
		}
		if !strings.HasSuffix(path, "_test.go") {
			files[filepath.ToSlash(filepath.Dir(path))]++
		}
		for name, methods := range interfaces(t, path, content) {
			t.Errorf("%s: the interface %s has %d methods; the limit is %d, or a comment beside it that says why",
				path, name, methods, maxMethods)
		}
	}
	for dir, n := range files {
		if n > maxFiles {
			t.Errorf("%s has %d files without its tests; the limit is %d", dir, n, maxFiles)
		}
	}
}

// goFiles lists the Go files of all modules of the repository.
func goFiles(t *testing.T) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != "." && entry.Name() != ".."
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (hidden || entry.Name() == "testdata"):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".go"):
			relative, err := filepath.Rel(root, path)
			paths = append(paths, filepath.ToSlash(relative))
			return err
		}
		return nil
	}))
	require.Greater(t, len(paths), 300)
	return paths
}

// interfaces returns those of a file that have too many methods and no comment that says why. Methods that an interface
// has from another one do not count: that one is counted by itself.
func interfaces(t *testing.T, path string, content []byte) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.ParseComments|parser.SkipObjectResolution)
	require.NoError(t, err)
	found := map[string]int{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			kind, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			of, ok := kind.Type.(*ast.InterfaceType)
			if !ok {
				continue
			}
			methods := 0
			for _, m := range of.Methods.List {
				methods += len(m.Names)
			}
			why := group.Doc.Text() + kind.Doc.Text() + kind.Comment.Text()
			if methods > maxMethods && !strings.Contains(why, "methods") {
				found[kind.Name.Name] = methods
			}
		}
	}
	return found
}
