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

// params runs scripts with the commands of commands_test.go.
func params(files []string, env map[string]string) testscript.Params {
	return testscript.Params{
		Files:               files,
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

func scripts(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestScripts(t *testing.T) {
	testscript.Run(t, params(scripts(t, "script"), nil))
}

// TestScriptsOnServers runs the same commands against each real database and Kafka. Each
// script has a database and a topic of its own.
func TestScriptsOnServers(t *testing.T) {
	run := func(file string) func(t *testing.T, db dbtest.Database) {
		return func(t *testing.T, db dbtest.Database) {
			testscript.Run(t, params([]string{file}, map[string]string{
				"POSTROOM_DATABASE_URL":  db.URL,
				"POSTROOM_KAFKA_BROKERS": dbtest.Kafka(t),
				"TOPIC":                  dbtest.Topic(t, 2),
			}))
		}
	}
	for _, file := range scripts(t, "servers") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel() // databases and topics are its own
			dbtest.Each(t, run(file))
			t.Run(dbtest.FlavorPgBouncer, func(t *testing.T) { run(file)(t, dbtest.PgBouncer(t)) })
		})
	}
}

// TestScriptsOnPostgreSQL runs what PostgreSQL alone can do.
func TestScriptsOnPostgreSQL(t *testing.T) {
	for _, file := range scripts(t, "postgres") {
		for name, db := range map[string]func(testing.TB) dbtest.Database{
			dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPgBouncer: dbtest.PgBouncer,
		} {
			t.Run(name, func(t *testing.T) {
				testscript.Run(t, params([]string{file}, map[string]string{"POSTROOM_DATABASE_URL": db(t).URL}))
			})
		}
	}
}

// A script that has a password in a URL looks for it in what the command printed, on both outputs.
func TestEveryScriptThatNamesAPasswordLooksForIt(t *testing.T) {
	for _, file := range scripts(t, "script") {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.Contains(string(content), "hunter2") {
			continue
		}
		onStderr := strings.Count(string(content), "\n! stderr hunter2\n")
		onStdout := strings.Count(string(content), "\n! stdout hunter2\n")
		require.Positive(t, onStderr, "%s has a password in a URL: write `! stderr hunter2` and `! stdout hunter2` "+
			"after each command that gets it", file)
		require.Equal(t, onStderr, onStdout, "%s looks for a password on one output only: write both "+
			"`! stderr hunter2` and `! stdout hunter2`", file)
	}
}
