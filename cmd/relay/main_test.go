package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
)

func TestMain(m *testing.M) {
	testscript.Main(leakCheck{m}, map[string]func(){"relay": main})
}

// leakCheck fails a successful run that leaves goroutines behind.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	code := l.m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		_, _ = os.Stderr.WriteString("goroutines are left: " + err.Error() + "\n")
		return 1
	}
	return 0
}

// params runs the scripts of a folder with the commands of commands_test.go.
func params(dir string, env map[string]string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		Cmds:                commands(),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			for name, value := range env {
				e.Setenv(name, value)
			}
			e.Values[daemonsKey{}] = map[string]*daemon{}
			return nil
		},
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, params("testdata/script", nil))
}

// TestScriptsOnServers runs the same commands against each real database and Kafka.
func TestScriptsOnServers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		testscript.Run(t, params("testdata/servers", map[string]string{
			"POSTROOM_DATABASE_URL":  db.URL,
			"POSTROOM_KAFKA_BROKERS": dbtest.Kafka(t),
			"TOPIC":                  dbtest.Topic(t, 2),
		}))
	})
	t.Run(dbtest.FlavorPgBouncer, func(t *testing.T) {
		db := dbtest.PgBouncer(t)
		testscript.Run(t, params("testdata/servers", map[string]string{
			"POSTROOM_DATABASE_URL":  db.URL,
			"POSTROOM_KAFKA_BROKERS": dbtest.Kafka(t),
			"TOPIC":                  dbtest.Topic(t, 2),
		}))
	})
}

// The scripts look for the password of every URL in what was printed; this makes sure
// that they all have one to look for.
func TestEveryScriptThatNamesAPasswordLooksForIt(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(string(content), "hunter2") {
			require.Contains(t, string(content), "! stderr hunter2", file)
		}
	}
}
