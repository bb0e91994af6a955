package db

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Values are what Fill puts into a statement, by name.
type Values map[string]any

// SQL is text of a statement, for Fill.
type SQL string

var value = regexp.MustCompile(`\{[a-z_]+\}`)

// Fill replaces every {name} in a statement by the value of that name: an integer, a list of integers
// ("1,2,3"), or an SQL. It is for values that cannot be arguments: a list of any length, or a number that
// the planner must see. It panics if the statement names a value that is missing, or that has another type.
func Fill(statement string, values Values) string {
	return value.ReplaceAllStringFunc(statement, func(s string) string {
		switch v := values[s[1:len(s)-1]].(type) {
		case int:
			return strconv.Itoa(v)
		case int64:
			return strconv.FormatInt(v, 10)
		case []int64:
			return Ints(v)
		case SQL:
			return string(v)
		default:
			panic(fmt.Sprintf("db.Fill: %s is %T in: %s", s, v, statement))
		}
	})
}

// Ints writes numbers as "1,2,3": the inside of a list for IN, of a JSON array, and of a PostgreSQL array.
func Ints(list []int64) string {
	var b strings.Builder
	for i, n := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String()
}
