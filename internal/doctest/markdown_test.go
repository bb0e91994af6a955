package doctest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// block is a fenced code block.
type block struct {
	file     string // relative to root
	line     int    // of its first line of code
	language string
	comment  string // the text of the HTML comment on the line before the fence
	code     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// directive returns what stands behind "name:" in the comment before the block.
func (b block) directive(name string) (string, bool) {
	text, ok := strings.CutPrefix(b.comment, name+":")
	return strings.TrimSpace(text), ok
}

// documents lists README.md, CHANGELOG.md, docs with its folders and the READMEs, relative to root.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md", "CHANGELOG.md"}
	for _, pattern := range []string{"*/README.md", "examples/*/README.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, f := range found {
			relative, err := filepath.Rel(root, f)
			require.NoError(t, err)
			files = append(files, filepath.ToSlash(relative))
		}
	}
	require.Subset(t, files, []string{"docs/architecture.md", "docs/patterns/README.md", "examples/shop/README.md"})
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	return string(text)
}

// blocks returns the code blocks of all documents in the given languages.
func blocks(t *testing.T, languages ...string) []block {
	t.Helper()
	var found []block
	for _, file := range documents(t) {
		for _, b := range parse(file, read(t, file)) {
			for _, language := range languages {
				if b.language == language {
					found = append(found, b)
				}
			}
		}
	}
	return found
}

var comment = regexp.MustCompile(`^<!--\s*(.*?)\s*-->$`)

func parse(file, text string) []block {
	var found []block
	var open *block
	before := ""
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{file: file, line: i + 2, language: language}
			if m := comment.FindStringSubmatch(before); m != nil {
				open.comment = m[1]
			}
		case fence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.code += line + "\n"
		}
		before = strings.TrimSpace(line)
	}
	return found
}

func TestBlocksAreFoundWithTheirComments(t *testing.T) {
	got := parse("x.md", "text\n<!-- given: a int -->\n```go\nf(a)\n\ng()\n```\n\n```\nplain\n```\n")
	require.Equal(t, []block{
		{file: "x.md", line: 4, language: "go", comment: "given: a int", code: "f(a)\n\ng()\n"},
		{file: "x.md", line: 10, code: "plain\n"},
	}, got)
	given, ok := got[0].directive("given")
	require.True(t, ok)
	require.Equal(t, "a int", given)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestEveryLinkWithinTheRepositoryLeadsSomewhere(t *testing.T) {
	checked := 0
	for _, file := range documents(t) {
		text := read(t, file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			path := file
			if target != "" {
				path = filepath.Join(filepath.Dir(file), target)
			}
			require.FileExistsf(t, existing(filepath.Join(root, path)), "%s links to %s", file, m[1])
			if anchor != "" {
				require.Containsf(t, anchors(read(t, path)), anchor, "%s links to %s", file, m[1])
			}
			checked++
		}
	}
	require.Positive(t, checked)
}

// existing returns a file for a path that is a folder with something in it.
func existing(path string) string {
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return filepath.Join(root, "go.mod")
	}
	return path
}

// anchors returns the headings as GitHub makes anchors of them.
func anchors(text string) []string {
	var found []string
	for line := range strings.SplitSeq(text, "\n") {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			slug := strings.ToLower(strings.TrimSpace(heading))
			found = append(
				found, regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ReplaceAll(slug, " ", "-"), ""),
			)
		}
	}
	return found
}
