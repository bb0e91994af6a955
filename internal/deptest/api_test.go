package deptest

import (
	"bytes"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what was found as the new golden files")

const goldenAPI = "testdata/api"

// The public API is a promise to users: every exported name of every public package, with its signature, is in
// testdata/api, so that a change of it is seen in review.
func TestThePublicAPIIsTheGoldenOne(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range list(
		t, "-f", `{{if ne .Name "main"}}{{.ImportPath}}|{{.Dir}}|{{join .GoFiles ","}}{{end}}`, "./...",
	) {
		parts := strings.Split(line, "|")
		path := strings.TrimPrefix(parts[0], module+"/")
		if strings.Contains("/"+path+"/", "/internal/") || within(path, "rigs", "examples") {
			continue
		}
		name := strings.ReplaceAll(path, "/", "_") + ".txt"
		seen[name] = true
		got := api(t, parts[0], parts[1], strings.Split(parts[2], ","))
		golden := filepath.Join(goldenAPI, name)
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			continue
		}
		want, err := os.ReadFile(golden)
		if os.IsNotExist(err) {
			err = nil // a new package: the difference is all of it
		}
		require.NoError(t, err)
		gone, added := difference(string(want), got)
		if want := string(want); want != got {
			t.Errorf("the public API of %s is not that of %s:\n%s%s\nIf the change is meant, type\n\n"+
				"\tgo test ./internal/deptest -run PublicAPI -update\n\nand commit the golden file with it.",
				path, golden, gone, added)
		}
	}
	require.GreaterOrEqual(t, len(seen), 19)
	files, err := filepath.Glob(filepath.Join(goldenAPI, "*.txt"))
	require.NoError(t, err)
	for _, file := range files {
		if seen[filepath.Base(file)] {
			continue
		}
		require.True(
			t, *update, "%s is of a package that is gone: type go test ./internal/deptest -run PublicAPI -update",
			file,
		)
		require.NoError(t, os.Remove(file))
	}
}

// api lists the exported declarations of a package without their comments: constants, variables, functions, and each
// type with its functions and methods, sorted by name.
func api(t *testing.T, path, dir string, names []string) string {
	t.Helper()
	files, set := []*ast.File{}, token.NewFileSet()
	for _, name := range names {
		file, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(set, files, path)
	require.NoError(t, err)
	out := &bytes.Buffer{}
	// A comment that comes or goes moves blank lines and alignment: neither is part of the API.
	add := func(decl ast.Decl) {
		var printed bytes.Buffer
		require.NoError(t, (&printer.Config{Mode: printer.RawFormat}).Fprint(&printed, set, decl))
		if _, ok := decl.(*ast.FuncDecl); ok { // on one line, however it is wrapped
			line := strings.Join(strings.Fields(printed.String()), " ")
			out.WriteString(strings.NewReplacer("( ", "(", ", )", ")").Replace(line) + "\n")
			return
		}
		for line := range strings.Lines(printed.String()) {
			if words := strings.Fields(line); len(words) > 0 {
				indent := line[:len(line)-len(strings.TrimLeft(line, "\t"))]
				out.WriteString(indent + strings.Join(words, " ") + "\n")
			}
		}
	}
	addValues := func(values []*doc.Value) {
		for _, v := range values {
			for _, spec := range v.Decl.Specs {
				if v.Decl.Tok == token.VAR {
					spec.(*ast.ValueSpec).Values = nil // the text of an error may change
				}
			}
			add(v.Decl)
		}
	}
	addFuncs := func(funcs []*doc.Func) {
		for _, f := range funcs {
			add(f.Decl)
		}
	}
	out.WriteString("package " + pkg.Name + " // " + path + "\n")
	addValues(pkg.Consts)
	addValues(pkg.Vars)
	addFuncs(pkg.Funcs)
	for _, kind := range pkg.Types {
		out.WriteString("\n")
		add(kind.Decl)
		addValues(kind.Consts)
		addValues(kind.Vars)
		addFuncs(kind.Funcs)
		addFuncs(kind.Methods)
	}
	return out.String()
}

// difference lists the lines that one text has more often than the other.
func difference(want, got string) (gone, added string) {
	count := map[string]int{}
	for line := range strings.Lines(want) {
		count[line]++
	}
	for line := range strings.Lines(got) {
		if count[line]--; count[line] < 0 {
			added += "  added: " + line
		}
	}
	for line := range strings.Lines(want) {
		if count[line]--; count[line] >= 0 {
			gone += "  gone:  " + line
		}
	}
	return gone, added
}
