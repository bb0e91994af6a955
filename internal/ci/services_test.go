package ci

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// variables are what the environment of a test may carry: they are read from the script that names them.
func variables(t *testing.T) []string {
	t.Helper()
	found := regexp.MustCompile(`\) echo (POSTROOM_TEST_[A-Z0-9_]+) ;;`).
		FindAllStringSubmatch(read(t, "dev/lib/common.sh"), -1)
	require.NotEmpty(t, found)
	names := []string{}
	for _, match := range found {
		names = append(names, match[1])
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(content)
}

// bash returns the shell that the scripts need, and skips where there is none: they are for Linux and macOS.
func bash(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash not found: dev/services and .ci/run cannot run here; install bash to check them")
	}
	return path
}

func TestEveryScriptParses(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root, "dev/lib/*.sh"))
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	scripts = append(
		scripts, root+"/dev/services", root+"/dev/test", root+"/dev/replica", root+"/dev/fuzz", root+"/.ci/run",
	)
	for _, script := range scripts {
		out, err := exec.Command(bash(t), "-n", script).CombinedOutput()
		require.NoError(t, err, "%s: %s", script, out)
	}
}

func TestAddressesGivenByTheEnvironmentArePrintedAsGiven(t *testing.T) {
	command := exec.Command(bash(t), root+"/dev/services", "env")
	command.Env = os.Environ()
	want := []string{}
	for _, name := range append(variables(t), "POSTROOM_TEST_KCAT") {
		command.Env = append(command.Env, name+"=given-"+strings.ToLower(name))
		want = append(want, "export "+name+"=given-"+strings.ToLower(name))
	}

	out, err := command.Output()

	require.NoError(t, err)
	require.ElementsMatch(t, want, strings.Split(strings.TrimSpace(string(out)), "\n"))
}

func TestEveryVariableIsExplainedInTheReadme(t *testing.T) {
	readme := read(t, "dev/README.md")
	for _, name := range append(variables(t), "POSTROOM_TEST_KCAT") {
		require.Contains(t, readme, "`"+name+"`")
	}
}

// The addresses of the Docker servers stand in two places: where people read them, and where dev/services prints them.
func TestComposeFileNamesTheAddressesThatServicesPrints(t *testing.T) {
	compose := read(t, "dev/compose.yaml")
	ports := regexp.MustCompile(`(\w+)\) echo (\d+) ;;`).FindAllStringSubmatch(read(t, "dev/lib/docker.sh"), -1)
	require.Len(t, ports, len(variables(t)))
	for _, port := range ports {
		require.Contains(t, compose, `ports: ["127.0.0.1:`+port[2]+`:`, port[1])
		require.Regexp(t, `#   export POSTROOM_TEST_\w+='[^']*127\.0\.0\.1:`+port[2], compose, port[1])
	}
	for _, name := range variables(t) {
		require.Contains(t, compose, "export "+name+"=")
	}
}
