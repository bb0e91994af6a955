package db_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// A prefix and a schema that pass Validate cannot leave the quotes of a table's name, and
// what Expand makes of a statement differs from it by these names alone.
func FuzzNames(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"acme_", "post"}, {`a"; DROP TABLE x; --`, ""}, {"", `p"o`}, {"Ä", "ß"}, {"1a", "2b"},
		{"a\x00", "b"},
		{"{outbox_events}", ""}, {strings.Repeat("a", 31), strings.Repeat("b", 64)}, {"a`b", ""}, {" a", "b "},
		{"a\n", "b\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, prefix, schema string) {
		for _, d := range db.Dialects {
			n := db.Names{Dialect: d, Prefix: prefix, Schema: schema}
			if n.Validate() != nil {
				continue
			}
			quote := `"`
			if d == db.MySQL {
				quote = "`"
			}
			name := quote + "[a-z_][a-z0-9_]{0,62}" + quote
			require.Regexp(t, regexp.MustCompile("^("+name+`\.)?`+name+"$"), n.Table(db.Events))
			require.Equal(
				t, "SELECT 1 FROM "+n.Table("outbox_events")+" WHERE '{x}'",
				n.Expand("SELECT 1 FROM {outbox_events} WHERE '{x}'"),
			)
		}
	})
}
