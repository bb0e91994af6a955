package ci

import (
	"bufio"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The limits of a house that a newcomer can read. What was over them when they were made is in testdata/limits.txt:
// a line there may be lowered or removed, and never raised or added.
const (
	maxColumns = 120 // a tab counts 4
	maxLines   = 400 // of a file
	maxMethods = 8   // of an interface, unless its comment says "methods" and why
	maxFiles   = 25  // of a package, without its tests
)

const exceptionsFile = "testdata/limits.txt"

var lower = flag.Bool("update", false, "lower the exceptions of the limits to what was found")

func TestEveryFileIsWithinTheLimits(t *testing.T) {
	found := map[string]int{}    // what is over a limit, as in "lines relay/model_test.go", and by how much
	where := map[string]string{} // places to look at
	files := map[string]int{}    // of a package
	for _, path := range goFiles(t) {
		content, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		area, _, _ := strings.Cut(path, "/")
		for i, line := range strings.Split(string(content), "\n") {
			if columns := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); columns > maxColumns {
				found["long-lines "+area]++
				where["long-lines "+area] += fmt.Sprintf("\n%s:%d: %d columns", path, i+1, columns)
			}
		}
		if n := strings.Count(string(content), "\n"); n > maxLines {
			found["lines "+path] = n
		}
		if !strings.HasSuffix(path, "_test.go") {
			files[filepath.ToSlash(filepath.Dir(path))]++
		}
		for name, methods := range interfaces(t, path, content) {
			found["methods "+path+":"+name] = methods
		}
	}
	for dir, n := range files {
		if n > maxFiles {
			found["files "+dir] = n
		}
	}
	allowed := exceptions(t)
	for what, n := range found {
		if n > allowed[what] {
			t.Errorf("%s: %d, and internal/ci/%s allows %d; the limits are %d columns, %d lines a file, "+
				"%d methods an interface (or a comment that says why), %d files a package%s",
				what, n, exceptionsFile, allowed[what], maxColumns, maxLines, maxMethods, maxFiles, where[what])
		}
	}
	if *lower {
		writeExceptions(t, allowed, found)
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

// exceptions reads lines such as "lines relay/model_test.go 570".
func exceptions(t *testing.T) map[string]int {
	t.Helper()
	file, err := os.Open(exceptionsFile)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	allowed := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			at := strings.LastIndexByte(line, ' ')
			require.Positive(t, at, line)
			allowed[line[:at]], err = strconv.Atoi(line[at+1:])
			require.NoError(t, err, line)
		}
	}
	return allowed
}

// writeExceptions lowers what is allowed to what was found; it raises and adds nothing.
func writeExceptions(t *testing.T, allowed, found map[string]int) {
	t.Helper()
	var out strings.Builder
	out.WriteString("# What is over the limits of limits_test.go, and how much of it: this list only shrinks.\n" +
		"# After a repair: go test ./internal/ci -run Limits -update\n")
	for _, what := range slices.Sorted(maps.Keys(allowed)) {
		if n := min(allowed[what], found[what]); n > 0 {
			fmt.Fprintf(&out, "%s %d\n", what, n)
		}
	}
	require.NoError(t, os.WriteFile(exceptionsFile, []byte(out.String()), 0o644))
}
