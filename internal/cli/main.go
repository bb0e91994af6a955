package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

// Env is what the command gets from the process that it runs in.
type Env struct {
	Args    []string // without the program's name
	Environ []string // as from os.Environ
	Stdout  io.Writer
	Stderr  io.Writer
	// Exit ends the process at once: for the second signal. Nil: os.Exit.
	Exit func(code int)
}

// Main runs the command and returns its exit code.
func Main(env Env) int {
	if env.Exit == nil {
		env.Exit = os.Exit
	}
	root := newRoot(&env)
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitDone
	}
	code := codeOf(err)
	printError(env.Stderr, cmd, err, code)
	return code
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "relay",
		Short: "relay sends the events of an outbox table to a broker, in order",
		Long: `relay sends the events that services wrote into an outbox table to Kafka,
in order per key, and deletes each once the broker has it.

Configuration: flags, then environment (POSTROOM_…), then the YAML file of --config.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found something.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(env), newDemo(env), newDoctor(env), newInbox(env), newMigrate(env), newParked(env), newScheduled(env), newSource(env),
		newStatus(env), newReplay(env), newTrace(env), newPrune(env), newBackfill(env), newCompare(env), newVersion(env))
	group(root)
	addVersionFlag(env, root)
	return root
}

// group makes a command that only has others say which there are, instead of printing
// its help and ending as if something had been done.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && c.Name() != "help" {
				names = append(names, c.Name())
			}
		}
		if len(args) == 0 {
			return usageError{fmt.Errorf("name a command: %s", strings.Join(names, ", "))}
		}
		if near := config.Nearest(args[0], names); near != "" {
			return usageError{fmt.Errorf("unknown command %q: did you mean %s?", args[0], near)}
		}
		return usageError{fmt.Errorf("unknown command %q: there are %s", args[0], strings.Join(names, ", "))}
	}
}

// usageError is a mistake of the caller's.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// foundError says what a check found.
type foundError struct{ error }

func (e foundError) Unwrap() error { return e.error }

func codeOf(err error) int {
	var (
		usage usageError
		found foundError
	)
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &found):
		return exitFound
	}
	return exitFailed
}

// flagError names the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := config.Nearest(missing.GetSpecifiedName(), names); near != "" {
			return usageError{fmt.Errorf("%w: did you mean --%s?", err, near)}
		}
	}
	return usageError{err}
}

// noArgs refuses arguments, as a mistake of usage.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: settings are given by flags, as in --source name", args[0])}
	}
	return nil
}

// printError prints one line for each of the joined errors.
func printError(w io.Writer, cmd *cobra.Command, err error, code int) {
	lines := flatten(err)
	prefix := cmd.CommandPath() + ": "
	if len(lines) == 1 {
		_, _ = fmt.Fprintln(w, prefix+lines[0])
	} else {
		_, _ = fmt.Fprintf(w, "%s%d things are wrong:\n", prefix, len(lines))
		for _, line := range lines {
			_, _ = fmt.Fprintln(w, "  - "+line)
		}
	}
	if code == exitUsage {
		_, _ = fmt.Fprintf(w, "See %s --help\n", cmd.CommandPath())
	}
}

// flatten lists what errors.Join joined.
func flatten(err error) []string {
	switch e := err.(type) {
	case usageError:
		return flatten(e.error)
	case foundError:
		return flatten(e.error)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !isJoin(err, joined.Unwrap()) {
		return []string{err.Error()}
	}
	var lines []string
	for _, e := range joined.Unwrap() {
		lines = append(lines, flatten(e)...)
	}
	return lines
}

// isJoin tells errors.Join from an error that wraps several within a text of its own.
func isJoin(err error, parts []error) bool {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Error()
	}
	return err.Error() == strings.Join(texts, "\n")
}
