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

// rewrite replaces the default names in the files with the names of one installation. No other function does
// that. It changes three kinds of words:
//
//   - A table's name becomes the quoted name with prefix and schema.
//   - A word that starts with a table's name is a constraint or an index, and gets only the prefix. It belongs
//     to its table's schema and cannot be qualified. It needs the prefix, because in MySQL the name of
//     a constraint is unique in the database.
//   - In comments a table has the name that an operator uses, without quotes.
//
// Without prefix and schema the files do not change.
func rewrite(files []file, names db.Names) {
	if names.Prefix == "" && names.Schema == "" {
		return
	}
	var tables []string // tables of all files, because comments name tables of other files
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

// tablesOf returns the default names of the tables that a file creates.
func tablesOf(text string) []string {
	var tables []string
	for _, m := range createTable.FindAllStringSubmatch(text, -1) {
		tables = append(tables, m[1])
	}
	return tables
}
