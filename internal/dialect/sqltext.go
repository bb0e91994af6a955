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
