package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// qualified is a name of a package in the text, such as inbox.WithBackoff or relaykafka.Config.
var qualified = regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w*)(?:\\.([A-Z]\\w*))?[`(]")

// Compiled blocks cannot have a name that is gone; a sentence can.
func TestEveryGoNameInTheTextExists(t *testing.T) {
	exported := map[string]map[string]bool{} // by the package's name: two are called watermillkafka
	for _, dir := range packages(t) {
		top, _, _ := strings.Cut(dir, "/")
		if !slices.Contains([]string{"outbox", "inbox", "relay", "migrations"}, top) ||
			strings.Contains(dir, "internal") {
			continue
		}
		name := lastElement(dir)
		if exported[name] == nil {
			exported[name] = map[string]bool{}
		}
		addExportedNames(t, exported[name], dir)
	}
	checked := 0
	for _, file := range documents(t) {
		for _, m := range qualified.FindAllStringSubmatch(read(t, file), -1) {
			names := exported[m[1]]
			if names == nil || strings.HasPrefix(m[2], "Test") {
				continue
			}
			require.True(t, names[m[2]], "%s names %s.%s, which is not there", file, m[1], m[2])
			if m[3] != "" {
				require.True(t, names[m[2]+"."+m[3]], "%s names %s.%s.%s, which is not there", file, m[1], m[2], m[3])
			}
			checked++
		}
	}
	require.Greater(t, checked, 30)
}

// addExportedNames adds a package's names, and Type.Name of its fields and methods.
func addExportedNames(t *testing.T, names map[string]bool, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			addNames(names, decl)
		}
	}
}

func addNames(names map[string]bool, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		names[d.Name.Name] = true // of a method too: outbox.Add is one of *outbox.Outbox
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if ident, ok := receiver.(*ast.Ident); ok {
				names[ident.Name+"."+d.Name.Name] = true
			}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					names[name.Name] = true
				}
			case *ast.TypeSpec:
				names[s.Name.Name] = true
				if structure, ok := s.Type.(*ast.StructType); ok {
					for _, field := range structure.Fields.List {
						for _, name := range field.Names {
							names[s.Name.Name+"."+name.Name] = true
						}
					}
				}
			}
		}
	}
}

// The first screen of the README has to show an event that is written.
func TestTheReadmeWritesAnEventWithin25Lines(t *testing.T) {
	top := strings.SplitN(read(t, "README.md"), "\n", 26)
	require.Contains(t, strings.Join(top[:25], "\n"), "ob.Add(ctx, tx, outbox.Event{")
}
