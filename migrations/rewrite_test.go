package migrations

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

var dialects = db.Dialects

func TestPrintedSQLIsTheGoldenFiles(t *testing.T) {
	for _, d := range dialects {
		prefixed := Options{Prefix: "acme_"}
		if d == PostgreSQL {
			prefixed.Schema = "order" // a reserved word: it must be quoted everywhere
		}
		for name, o := range map[string]Options{"plain": {}, "prefix": prefixed} {
			t.Run(string(d)+" "+name, func(t *testing.T) {
				files, err := Print(d, o)
				require.NoError(t, err)
				var b strings.Builder
				for _, f := range files {
					b.WriteString("-- file " + f.Name + "\n" + f.SQL)
				}
				golden := filepath.Join("testdata", string(d)+"_"+name+".golden.sql")
				if *update {
					require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err, "go test ./migrations -run Golden -update writes it")
				require.Equal(t, string(want), b.String())
			})
		}
	}
}

func TestPlainFilesAreTheEmbeddedOnesByteByByte(t *testing.T) {
	for _, d := range dialects {
		files, err := load(db.Names{Dialect: d})
		require.NoError(t, err)
		require.Len(t, files, 7)
		for _, f := range files {
			raw, err := fs.ReadFile(FS(), folder(d)+"/"+f.name)
			require.NoError(t, err)
			require.Equal(t, string(raw), f.sql)
		}
	}
}

func TestEveryOwnWordIsATableOrStartsWithOne(t *testing.T) {
	for _, d := range dialects {
		files, err := load(db.Names{Dialect: d})
		require.NoError(t, err)
		var tables []string
		for _, f := range files {
			tables = append(tables, f.tables...)
		}
		require.Contains(t, tables, "outbox_events")
		require.Contains(t, tables, "inbox_parked")
		for _, f := range files {
			for _, word := range ourWord.FindAllString(f.sql, -1) {
				changed := replaceWords(
					word, tables, db.Names{Dialect: d, Prefix: "p_"},
					func(s string) string { return "p_" + s },
				)
				require.Equal(t, "p_"+word, changed, "%s: %s would keep its name under a prefix", d, word)
			}
		}
	}
}

// Every name after CREATE, CONSTRAINT or KEY must have the prefix, and at most 63 characters with the longest
// prefix.
func TestEveryNamedThingGetsThePrefix(t *testing.T) {
	named := regexp.MustCompile(
		`(?m)(?:^\s*|', ')(?:CREATE TABLE(?: IF NOT EXISTS)?|CREATE INDEX|(?:ADD )?CONSTRAINT|(?:UNIQUE )?KEY) (\S+)`,
	)
	prefix := strings.Repeat("x", db.MaxPrefix)
	for _, d := range dialects {
		files, err := load(db.Names{Dialect: d, Prefix: prefix})
		require.NoError(t, err)
		for _, f := range files {
			found := named.FindAllStringSubmatch(f.sql, -1)
			require.NotEmpty(t, found)
			for _, m := range found {
				name := strings.Trim(m[1], "\"`")
				require.True(
					t, strings.HasPrefix(name, prefix+"outbox_") || strings.HasPrefix(name, prefix+"inbox_"),
					"%s: %s", d, name,
				)
				require.LessOrEqual(t, len(name), 63, "%s: %s", d, name)
			}
		}
	}
}

// rewrite takes everything behind -- for a comment.
func TestNoLiteralInTheFilesHoldsTwoDashes(t *testing.T) {
	literal := regexp.MustCompile(`'[^'\n]*--[^'\n]*'`)
	for _, d := range dialects {
		files, err := load(db.Names{Dialect: d})
		require.NoError(t, err)
		for _, f := range files {
			for _, line := range strings.Split(f.sql, "\n") {
				code, _, comment := strings.Cut(line, "--")
				require.False(
					t, comment && strings.Count(code, "'")%2 == 1 && literal.MatchString(line), "%s: %s", f.name,
					line,
				)
			}
		}
	}
}

func TestCommentsNameTablesWithoutQuotes(t *testing.T) {
	files := []file{
		{
			tables: []string{"outbox_events"},
			sql: "CREATE TABLE outbox_events ( -- outbox_events holds\n" +
				"    CONSTRAINT outbox_events_topic_check CHECK (true)\n);\n",
		},
	}
	rewrite(files, db.Names{Dialect: PostgreSQL, Prefix: "a_", Schema: "s"})
	require.Equal(
		t,
		"CREATE TABLE \"s\".\"a_outbox_events\" ( -- s.a_outbox_events holds\n"+
			"    CONSTRAINT a_outbox_events_topic_check CHECK (true)\n);\n",
		files[0].sql,
	)
}

func TestAFileNameSaysVersionAndHalf(t *testing.T) {
	for name, want := range map[string]Scope{
		"00001_outbox.sql": OutboxOnly, "00012_inbox_offsets.sql": InboxOnly, "3_outbox_x.sql": OutboxOnly,
	} {
		_, scope, err := parseName(name)
		require.NoError(t, err)
		require.Equal(t, want, scope)
	}
	for _, name := range []string{"outbox.sql", "00000_outbox.sql", "00001_replica.sql", "00001_inboxes.sql", ""} {
		_, _, err := parseName(name)
		require.Error(t, err, name)
	}
}
