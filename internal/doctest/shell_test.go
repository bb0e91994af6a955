package doctest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/cli"
)

// elsewhere are commands that are not ours.
func elsewhere() []string {
	return []string{
		"cd", "cp", "curl", "cut", "docker", "echo", "eval", "export", "git", "grep", "head", "kafka-acls.sh",
		"kafka-features.sh", "kcat", "kubectl", "ls", "mariadb", "mkdir", "mysql", "psql", "sqlite3", "systemctl",
		"tee",
	}
}

func TestEveryCommandInAShellBlockExists(t *testing.T) {
	found := blocks(t, "sh", "bash", "shell", "console")
	require.NotEmpty(t, found)
	s := newShell(t)
	for _, b := range found {
		for _, line := range commands(b.code) {
			require.NoError(t, s.check(line), "%s: %s", b, line)
		}
	}
}

func TestACommandThatDoesNotExistIsFound(t *testing.T) {
	s := newShell(t)
	for line, says := range map[string]string{
		"relay fly":                             "no verb",
		"relay migrate sideways":                "no verb",
		"relay parked shows 17":                 "no verb",
		"relay status 17":                       "no verb",
		"relay parked show 17 --no-such-flag":   "--no-such-flag",
		"relay run --no-such-flag x":            "--no-such-flag",
		"FOO=bar go run ./cmd/relay status --x": "--x",
		"make coffee":                           "coffee",
		"go run ./examples/none":                "./examples/none",
		"go get github.com/postroom/other":      "github.com/postroom/other",
		"dev/none up":                           "dev/none",
		"frobnicate":                            "frobnicate",
		"ID=$(frobnicate -s":                    "frobnicate",
	} {
		require.ErrorContains(t, s.check(line), says, "%s", line)
	}
	require.NoError(t, s.check("relay parked retry 17 18 --force"))
	require.NoError(t, s.check("POSTROOM_SOURCE=a relay run --database-url x --kafka-brokers y --create-topics"))
}

// commands returns the command lines of a block, without prompts and comments.
func commands(code string) []string {
	var found []string
	code = strings.ReplaceAll(code, "\\\n", " ")
	for line := range strings.SplitSeq(code, "\n") {
		line, _, _ = strings.Cut(line, " # ")
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found = append(
			found, strings.FieldsFunc(line, func(r rune) bool { return r == '|' || r == '&' || r == ';' })...,
		)
	}
	return found
}

type shell struct {
	targets string // the Makefile
}

func newShell(t *testing.T) shell {
	t.Helper()
	return shell{targets: read(t, "Makefile")}
}

var assignment = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*=`)

func (s shell) check(line string) error {
	words := strings.Fields(line)
	for len(words) > 0 && assignment.MatchString(words[0]) {
		_, value, _ := strings.Cut(words[0], "=")
		command, substituted := strings.CutPrefix(value, "$(")
		if words = words[1:]; substituted {
			words = append([]string{command}, words...)
		}
	}
	if len(words) == 0 {
		return nil
	}
	switch name, args := words[0], words[1:]; {
	case name == "relay":
		return s.checkRelay(args)
	case name == "make":
		return s.checkTargets(args)
	case name == "go":
		return s.checkGo(args)
	case strings.Contains(name, "/"):
		return exists(name)
	case slices.Contains(elsewhere(), name):
		return nil
	default:
		return fmt.Errorf("the command %s is not known here", name)
	}
}

// checkRelay asks the command's own help.
func (s shell) checkRelay(args []string) error {
	var verbs, flags []string
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, "--"):
			flag, _, _ := strings.Cut(arg, "=")
			flags = append(flags, flag)
		case i == len(verbs):
			verbs = append(verbs, arg)
		}
	}
	var output bytes.Buffer
	code := cli.Main(cli.Env{Args: append(slices.Clone(verbs), "--help"), Stdout: &output, Stderr: &output})
	help := output.Bytes()
	verbs, given := verbOf(verbs, help)
	if code != 0 || len(verbs) == 0 && given {
		return fmt.Errorf("the relay has no verb %q", strings.Join(args, " "))
	}
	for _, flag := range flags {
		if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).Match(help) {
			return fmt.Errorf("relay %s has no flag %s", strings.Join(verbs, " "), flag)
		}
	}
	return nil
}

// verbOf returns those of the words that name the verb whose usage the help shows. The
// others are its arguments, if its usage has a place for them, such as ID or [ID…].
func verbOf(words []string, help []byte) (verb []string, given bool) {
	for n := len(words); n > 0; n-- {
		usage := regexp.QuoteMeta(strings.Join(append([]string{"\n  relay"}, words[:n]...), " "))
		end := `( \[| --|\n)`
		if n < len(words) {
			end = ` \[?[A-Z]`
		}
		if regexp.MustCompile(usage + end).Match(help) {
			return words[:n], true
		}
	}
	return nil, len(words) > 0
}

func (s shell) checkTargets(args []string) error {
	for _, target := range args {
		if !strings.Contains(target, "=") && !strings.Contains(s.targets, "\n"+target+":") {
			return fmt.Errorf("the Makefile has no target %s", target)
		}
	}
	return nil
}

func (s shell) checkGo(args []string) error {
	for i, arg := range args[1:] {
		name := arg[:strings.IndexAny(arg+"@", "@=")] // without a version, or what a replace puts in its place
		within, ours := strings.CutPrefix(name, module)
		switch {
		case ours:
			name = "." + within
		case strings.HasPrefix(name, "github.com/"):
			return fmt.Errorf("%s is not this module", name)
		case !strings.HasPrefix(name, "."):
			continue
		}
		if err := exists(strings.TrimSuffix(name, "/...")); err != nil {
			return err
		}
		if args[0] == "run" && name == "./cmd/relay" {
			return s.checkRelay(args[i+2:])
		}
	}
	return nil
}

func exists(path string) error {
	_, err := os.Stat(filepath.Join(root, path))
	return err
}
