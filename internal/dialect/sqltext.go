package dialect

import (
	"strconv"
	"strings"
)

// writeNumbered writes "($7, $8, $9)": PostgreSQL's placeholders after the first `after`.
func writeNumbered(b *strings.Builder, after, count int) {
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

// numbered puts PostgreSQL's $1, $2, … where question marks are; no statement that is
// given to it has them otherwise.
func (n Names) numbered(query string) string {
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
