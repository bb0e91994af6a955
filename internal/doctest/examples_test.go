package doctest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pkg.go.dev is where people meet a package: its first example shows the main call, and runs as a test.
func TestEveryPublicPackageHasAnExampleWithOutput(t *testing.T) {
	checked := 0
	for _, folder := range packages(t) {
		if !public(t, folder) {
			continue
		}
		checked++
		require.Positive(t, examplesWithOutput(t, folder), "%s has no Example with an // Output: comment", folder)
	}
	require.GreaterOrEqual(t, checked, 19)
}

func TestEveryExampleHasAReadmeWithItsOneCommand(t *testing.T) {
	checked := 0
	for _, folder := range packages(t) {
		if parent, name := path.Split(folder); parent == "examples/" {
			require.Contains(t, read(t, folder+"/README.md"), "```sh\ngo run ./examples/"+name+"\n```\n")
			require.Contains(t, read(t, "examples/README.md"), "]("+name+"/README.md)")
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 2)
}

// public tells packages that other modules can import.
func public(t *testing.T, folder string) bool {
	t.Helper()
	for part := range strings.SplitSeq(folder, "/") {
		if part == "internal" {
			return false
		}
	}
	// Programs, and the modules of their own.
	switch top, _, _ := strings.Cut(folder, "/"); top {
	case "bench", "cmd", "dev", "examples", "rigs":
		return false
	}
	for _, file := range goFiles(t, folder) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		require.NoError(t, err)
		return parsed.Name.Name != "main"
	}
	return false // tests alone
}

func examplesWithOutput(t *testing.T, folder string) (n int) {
	t.Helper()
	var tests []*ast.File
	for _, file := range goFiles(t, folder) {
		if strings.HasSuffix(file, "_test.go") {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			require.NoError(t, err)
			tests = append(tests, parsed)
		}
	}
	for _, example := range doc.Examples(tests...) {
		if example.Output != "" || example.EmptyOutput {
			n++
		}
	}
	return n
}

func goFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	require.NoError(t, err)
	return files
}
