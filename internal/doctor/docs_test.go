package doctor_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
)

func ids() []string {
	var all []string
	for _, c := range doctor.Checks() {
		all = append(all, c.ID)
	}
	return all
}

func TestEveryCheckIsExplainedInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	var explained []string
	row := regexp.MustCompile("(?m)^\\| `([a-z-]+\\.[a-z-]+)` \\| [^|]+ \\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		explained = append(explained, m[1])
	}
	require.Equal(t, ids(), explained, "docs/operations.md lists the checks in the order of Checks")
}

func TestEveryCheckHasAnIDOfItsOwn(t *testing.T) {
	all := ids()
	slices.Sort(all)
	require.Equal(t, slices.Compact(slices.Clone(all)), all)
}

// A check that no test makes fail may never find anything.
func TestEveryCheckIsProvokedByATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		tests.Write(text)
	}
	var forgotten []string
	for _, id := range ids() {
		if !strings.Contains(tests.String(), `"`+id+`"`) {
			forgotten = append(forgotten, id)
		}
	}
	require.Empty(t, forgotten, "no test of this package names these")
}
