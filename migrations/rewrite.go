package migrations

import (
	"regexp"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

var (
	createTable = regexp.MustCompile(`(?m)^CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+) \(`)
	ourWord     = regexp.MustCompile(`\b(?:outbox|inbox)_[a-z_]+`)
)

// rewrite puts the names of one installation into files, which hold the default
// names. It is the only place that does. Three kinds of words change:
//
//   - a table's name becomes the quoted name with prefix and schema;
//   - a word that starts with a table's name is a constraint or an index, and gets the
//     prefix only: it lives in its table's schema and cannot be qualified. It must
//     differ all the same, since MySQL has constraint names once per database;
//   - in comments a table is called as an operator would, without quotes.
//
// Without prefix and schema the files stay as they are, byte by byte.
func rewrite(files []file, names db.Names) {
	if names.Prefix == "" && names.Schema == "" {
		return
	}
	var tables []string // of all files: their comments name each other's
	for _, f := range files {
		tables = append(tables, f.tables...)
	}
	for i := range files {
		lines := strings.Split(files[i].sql, "\n")
		for j, line := range lines {
			code, comment, found := strings.Cut(line, "--")
			line = replaceWords(code, tables, names, names.Table)
			if found {
				line += "--" + replaceWords(comment, tables, names, names.Plain)
			}
			lines[j] = line
		}
		files[i].sql = strings.Join(lines, "\n")
	}
}

func replaceWords(s string, tables []string, names db.Names, table func(string) string) string {
	return ourWord.ReplaceAllStringFunc(s, func(word string) string {
		if slices.Contains(tables, word) {
			return table(word)
		}
		for _, t := range tables {
			if strings.HasPrefix(word, t+"_") {
				return names.Prefix + word
			}
		}
		return word
	})
}

// tablesOf finds the default names of the tables that a file creates.
func tablesOf(text string) []string {
	var tables []string
	for _, m := range createTable.FindAllStringSubmatch(text, -1) {
		tables = append(tables, m[1])
	}
	return tables
}
