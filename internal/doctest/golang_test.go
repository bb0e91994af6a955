package doctest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/postroom/postroom"

func lastElement(importPath string) string { return path.Base(importPath) }

func TestEveryGoBlockCompiles(t *testing.T) {
	found := blocks(t, "go")
	require.NotEmpty(t, found)
	sources := make(map[string]string, len(found))
	for _, b := range found {
		if _, quoted := b.directive("from"); quoted {
			continue // TestEveryQuotedBlockIsInItsFile
		}
		source, err := complete(b)
		require.NoError(t, err, "%s", b)
		sources[b.String()] = source
	}
	out, err := compile(t, sources)
	require.NoError(t, err, "%s", out)
}

func TestABlockThatDoesNotCompileIsFound(t *testing.T) {
	source, err := complete(block{
		file: "x.md", line: 7, comment: "given: ctx context.Context, db *sql.DB",
		code: "_, err := outbox.New(outbox.PostgreSQL)\n_ = ob.Add(ctx, db)\n",
	})
	require.NoError(t, err)
	out, err := compile(t, map[string]string{"x.md:7": source})
	require.Error(t, err)
	require.Contains(t, out, "x.md:8", "the place in the document, not in what was made of it")
	require.Contains(t, out, "undefined: ob")
}

// complete makes a file of a block.
func complete(b block) (string, error) {
	if strings.HasPrefix(b.code, "package ") {
		return position(b) + b.code, nil
	}
	given, _ := b.directive("given")
	for _, wrapped := range []string{
		fmt.Sprintf("package block\n\n%s%s", position(b), b.code),
		fmt.Sprintf("package block\n\nfunc _(%s) error {\n%s%s\nreturn nil\n}\n", given, position(b), b.code),
	} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "", wrapped, 0)
		if err != nil {
			continue
		}
		source, err := finish(withUsedImports(wrapped, file), file)
		if err != nil {
			return "", err
		}
		return source, nil
	}
	_, err := parser.ParseFile(
		token.NewFileSet(), "", "package block\nfunc _() error {\n"+position(b)+b.code+"\nreturn nil\n}\n", 0,
	)
	return "", fmt.Errorf("is neither declarations nor statements: %w", err)
}

// withUsedImports makes the imports of a block that has nothing else count as used: it tells a reader the paths, which
// must be right.
func withUsedImports(source string, file *ast.File) string {
	if len(file.Decls) != 1 || len(file.Imports) == 0 {
		return source
	}
	for _, spec := range file.Imports {
		if spec.Name == nil {
			source = strings.Replace(source, spec.Path.Value, "_ "+spec.Path.Value, 1)
		}
	}
	return source
}

// position makes the compiler's messages name the document.
func position(b block) string { return fmt.Sprintf("//line %s:%d\n", b.file, b.line) }

// finish adds the imports, and a use of each variable that the block declares: a reader
// sees what to do with it.
func finish(source string, file *ast.File) (string, error) {
	var header strings.Builder
	known, imported := imports(), map[string]bool{}
	for _, name := range file.Unresolved {
		if importPath, ok := known[name.Name]; ok && !imported[name.Name] {
			imported[name.Name] = true
			fmt.Fprintf(&header, "import %q\n", importPath)
		}
	}
	if names := declared(file); len(names) > 0 {
		use := strings.Repeat("_, ", len(names)-1) + "_ = " + strings.Join(names, ", ")
		source = source[:strings.LastIndex(source, "return nil")] + use + "\nreturn nil\n}\n"
	}
	clause, rest, _ := strings.Cut(source, "\n")
	return clause + "\n" + header.String() + rest, nil
}

// declared lists the variables of the wrapper's outermost block.
func declared(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "_" {
			continue
		}
		for _, statement := range fn.Body.List {
			if assign, ok := statement.(*ast.AssignStmt); ok && assign.Tok == token.DEFINE {
				for _, left := range assign.Lhs {
					if name := left.(*ast.Ident).Name; name != "_" && !slices.Contains(names, name) {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

// compile builds each source as a package of this module, without writing into it, and
// returns what the compiler said.
func compile(t *testing.T, sources map[string]string) (string, error) {
	t.Helper()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	args := []string{"build", "-o", os.DevNull, "-overlay", filepath.Join(t.TempDir(), "overlay.json")}
	for i, name := range slices.Sorted(maps.Keys(sources)) {
		_, err := format.Source([]byte(sources[name]))
		require.NoError(t, err, "%s", name)
		file := filepath.Join(t.TempDir(), "block.go")
		require.NoError(t, os.WriteFile(file, []byte(sources[name]), 0o600))
		folder := fmt.Sprintf("block%d", i)
		overlay.Replace[filepath.Join(here, folder, "block.go")] = file
		args = append(args, "./"+folder)
	}
	encoded, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(args[4], encoded, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	return string(out), err
}
