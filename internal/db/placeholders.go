package db

import (
	"fmt"
	"strconv"
	"strings"
)

// Param is the placeholder of the i-th argument.
func (n Names) Param(i int) string { return For(n.Dialect, fmt.Sprintf("$%d", i), "?", "?") }

// WriteNumbered writes "($7, $8, $9)": PostgreSQL's placeholders after the first `after`.
func WriteNumbered(b *strings.Builder, after, count int) {
	b.WriteByte('(')
	for i := range count {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(after + i + 1))
	}
	b.WriteByte(')')
}

// Numbered puts PostgreSQL's $1, $2, … where question marks are; no statement that is
// given to it has them otherwise.
func (n Names) Numbered(query string) string {
	if n.Dialect != PostgreSQL {
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
