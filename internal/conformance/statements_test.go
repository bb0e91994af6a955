package conformance

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/faultdb"
)

// The golden record: testdata/statements has every distinct statement that the suite makes Postroom
// send, a file for each dialect. A statement that is not there fails TestInstallations. It is a set:
// some statements depend on timing, and no run need send them all.
//
//	go test ./internal/conformance -run TestInstallations -update
//
// adds what is new. To begin anew, remove the files first.
var update = flag.Bool("update", false, "add to the golden record of statements")

// recorders keep what the suite sends, by dialect.
var recorders = map[db.Dialect]*faultdb.Recorder{
	db.PostgreSQL: {}, db.MySQL: {}, db.SQLite: {},
}

// normaliser makes a statement the same for each installation, process and number of values. What it
// replaces is what the statement's author cannot know; every other byte is compared.
var normaliser = []struct {
	what *regexp.Regexp
	by   string
}{
	// The tests' prefixes and schemas, and the days of partitions.
	{regexp.MustCompile(`"(post|shop|events|order)"\.|\bpost\.|\b(acme_|beside_|nowhere_|eu_)`), ""},
	{regexp.MustCompile(`inbox_events_d\d{8}`), "inbox_events_d‹day›"},
	{regexp.MustCompile(`'\d{4}-\d\d-\d\d`), "'‹day›"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "‹uuid›"},
	// The owner of the migrations' lock: host, process and a random number.
	{regexp.MustCompile(`'[^' ]+-\d+-[0-9a-f]{16}'`), "'‹process›'"},
	// Lists of values and of alternatives, and the rows of an INSERT.
	{regexp.MustCompile(`(\?|\$\d+)(, ?(\?|\$\d+))+\)`), "$1, …)"},
	{regexp.MustCompile(`"‹uuid›"(, ?"‹uuid›")+`), `"‹uuid›", …`},
	{regexp.MustCompile(`\b\d+(, ?\d+){2,}`), "‹n›, …"},
	{regexp.MustCompile(
		`(VALUES \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))(, \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+`,
	), "$1, …"},
	// MySQL's reads have integers where the others have parameters.
	{
		regexp.MustCompile(`WHERE id (?:=|BETWEEN) \d[^()]* ORDER BY id LIMIT \d+\)`),
		"WHERE ‹gaps› ORDER BY id LIMIT ‹n›)",
	},
	{regexp.MustCompile(`WHERE id > \d+ ORDER BY id LIMIT \d+\)`), "WHERE id > ‹n› ORDER BY id LIMIT ‹n›)"},
}

func normalise(statement string) string {
	for _, rule := range normaliser {
		statement = rule.what.ReplaceAllString(statement, rule.by)
	}
	return statement
}

var layout = regexp.MustCompile(`\s+`)

// statements maps what is compared to what the file shows. Only the latter has the statement's lines.
type statements map[string]string

// add returns the form of a statement that is compared. It keeps the layout of the first one that has this form.
func (s statements) add(statement string) (compared string) {
	compared = normalise(layout.ReplaceAllString(statement, " "))
	if _, known := s[compared]; !known {
		s[compared] = normalise(statement)
	}
	return compared
}

func (s statements) String() string {
	var out strings.Builder
	for _, statement := range slices.Sorted(maps.Values(s)) {
		out.WriteString(statement + faultdb.Separator)
	}
	return out.String()
}

// readStatements returns the statements of a golden file. It normalises them once more, so that a new
// rule of the normaliser needs -update alone.
func readStatements(t testing.TB, file string) statements {
	t.Helper()
	content, err := os.ReadFile(file)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	found := statements{}
	for statement := range strings.SplitSeq(string(content), faultdb.Separator) {
		if statement != "" {
			found.add(statement)
		}
	}
	return found
}

// compareStatements fails for each statement that the golden record in dir does not have.
func compareStatements(t testing.TB, dir string, d db.Dialect, sent []string) {
	t.Helper()
	file := filepath.Join("testdata", dir, string(d)+".sql")
	golden := readStatements(t, file)
	// What the tests of other packages make Postroom send is known as well.
	known := readStatements(t, filepath.Join("testdata", "statements-of-tests", string(d)+".sql"))
	had := maps.Clone(golden)
	for _, statement := range sent {
		compared := golden.add(statement)
		if had[compared] == "" && known[compared] == "" && !*update {
			t.Errorf("%s is sent a statement that is not in %s:\n%s", d, file, statement)
		}
	}
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(golden.String()), 0o644))
	}
}

var recorded = flag.String("recorded", "", "a directory that dbtest recorded statements in")

// The suite does not reach every statement. The tests of other packages record theirs on request;
// testdata/statements-of-tests has what they send.
//
//	mkdir /tmp/sent && POSTROOM_TEST_RECORD=/tmp/sent \
//	go test ./internal/store/... ./outbox/outboxtest ./inbox ./internal/doctor
//	go test ./internal/conformance -run TestGoldenStatements -recorded /tmp/sent
//
// Without -recorded it looks only whether the golden files are as -update writes them: in order, and each statement
// once and with its lines.
func TestGoldenStatements(t *testing.T) {
	for d := range recorders {
		if *recorded != "" {
			sent := readStatements(t, filepath.Join(*recorded, string(d)+".sql"))
			compareStatements(t, "statements-of-tests", d, slices.Collect(maps.Values(sent)))
		}
		for _, dir := range []string{"statements", "statements-of-tests"} {
			file := filepath.Join("testdata", dir, string(d)+".sql")
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(content), readStatements(t, file).String(), "what -update makes of %s", file)
		}
	}
}
