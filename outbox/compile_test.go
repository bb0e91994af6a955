package outbox_test

import (
	"database/sql"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/outbox"
)

// Writing an event outside of a transaction must not compile.
func TestAddOutsideATransactionDoesNotCompile(t *testing.T) {
	build := func(program string) (string, error) {
		cmd := exec.CommandContext(
			t.Context(), "go", "build", "-o", filepath.Join(t.TempDir(), "out"), "./testdata/"+program,
		)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := build("withtx")
	require.NoError(t, err, "the same program with a *sql.Tx compiles: %s", out)
	for _, program := range []string{"withdb", "withconn"} {
		out, err = build(program)
		require.Error(t, err, program)
		// Go writes a package's path where two packages of the build have one name: here internal/store/outbox.
		out = strings.ReplaceAll(out, `"github.com/postroom/postroom/outbox".Tx`, "outbox.Tx")
		require.Contains(t, out, "does not implement outbox.Tx (missing method Commit)", program)
	}
}

func TestWhichTypesAreATransaction(t *testing.T) {
	tx := reflect.TypeFor[outbox.Tx]()
	require.True(t, reflect.TypeFor[*sql.Tx]().Implements(tx))
	require.False(t, reflect.TypeFor[*sql.DB]().Implements(tx))
	require.False(t, reflect.TypeFor[*sql.Conn]().Implements(tx))
}
