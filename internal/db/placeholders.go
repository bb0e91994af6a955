package db

import (
	"fmt"
	"strconv"
	"strings"
)

// Param is the placeholder of the i-th argument.
func (n Names) Param(i int) string { return For(n.Dialect, fmt.Sprintf("$%d", i), "?", "?") }

// WriteParams writes the next count placeholders of a statement that has `after` of them: "($7, $8, $9)", or
// "(?, ?, ?)".
func (n Names) WriteParams(b *strings.Builder, after, count int) {
	numbered := For(n.Dialect, true, false, false)
	b.WriteByte('(')
	for i := range count {
		if i > 0 {
			b.WriteString(", ")
		}
		if numbered {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(after + i + 1))
		} else {
			b.WriteByte('?')
		}
	}
	b.WriteByte(')')
}

// Numbered replaces question marks by PostgreSQL's $1, $2, …. Statements that it gets have
// no other question marks.
func (n Names) Numbered(query string) string {
	if For(n.Dialect, false, true, true) {
		return query
	}
	var b strings.Builder
	for i := 1; ; i++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(i))
		query = after
	}
}
