package doctest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quotes returns the blocks of a document that quote a file, and those files, in the same order.
func quotes(document, text string) (quoted []block, files []string) {
	for _, b := range parse(document, text) {
		if file, ok := b.directive("from"); ok {
			quoted, files = append(quoted, b), append(files, file)
		}
	}
	return quoted, files
}

func TestEveryQuotedBlockIsInItsFile(t *testing.T) {
	checked := 0
	for _, document := range documents(t) {
		quoted, files := quotes(document, read(t, document))
		for i, b := range quoted {
			require.True(t, isQuote(b.code, read(t, files[i])), "%s is not in %s", b, files[i])
			checked++
		}
	}
	require.Positive(t, checked)
}

// isQuote tells whether the lines of code follow one another in text, with any indentation in front of all of them.
func isQuote(code, text string) bool {
	quote, lines := unindented(linesOf(code)), linesOf(text)
	for i := range lines[:max(0, len(lines)-len(quote)+1)] {
		if slices.Equal(unindented(lines[i:i+len(quote)]), quote) {
			return true
		}
	}
	return false
}

func linesOf(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// unindented returns the lines without the tabs that all of them begin with. Empty lines have none.
func unindented(lines []string) []string {
	common := -1
	for _, line := range lines {
		if tabs := len(line) - len(strings.TrimLeft(line, "\t")); line != "" && (common < 0 || tabs < common) {
			common = tabs
		}
	}
	without := slices.Clone(lines)
	for i, line := range without {
		if line != "" {
			without[i] = line[common:]
		}
	}
	return without
}

func TestAQuoteThatDiffersIsFound(t *testing.T) {
	const text = "package p\n\nfunc f() {\n\tif a {\n\t\tb()\n\n\t\tc()\n\t}\n}\n"
	for code, want := range map[string]bool{
		"if a {\n\tb()\n\n\tc()\n}\n":   true,
		"\tb()\n\n\tc()\n":              true,
		"func f() {\n\tif a {\n":        true,
		"if a {\n\tb()\n\tc()\n}\n":     false, // a line was left out
		"if a {\nb()\n\nc()\n}\n":       false, // the indentation within the quote
		"if  a {\n\tb()\n\n\tc()\n}\n":  false,
		"c() // last\n":                 false,
		"}\n}\nfunc g() {}\n":           false, // the text ends before
		text + "\n" + text:              false,
		"package p\n\nfunc f() {\n\t//": false,
	} {
		require.Equal(t, want, isQuote(code, text), "%q", code)
	}
}
