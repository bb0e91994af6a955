// Package cli is the relay command: its verbs, what they print and how they end.
//
// It promises:
//
//   - Exit code 0 means that the work is done, 1 that it failed, 2 that the usage or the configuration is wrong
//     (all mistakes are reported at once), and 3 that a check found something.
//   - Results go to standard output, as a table or with --json as JSON. Everything else goes to standard error.
//   - No output contains a password.
//   - `relay run` drains at the first SIGTERM or SIGINT, and stops at once at the second.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/relay"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

// Env is the command's environment: what it gets from the process in which it runs.
type Env struct {
	Args    []string // without the program's name
	Environ []string // as from os.Environ
	Stdout  io.Writer
	Stderr  io.Writer
	// Exit ends the process at once, at the second signal. Nil means os.Exit.
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
		Long: `relay sends the events that services wrote into an outbox table to Kafka.
It keeps the order of the events of a key, and deletes an event when the broker has it.

Configuration: flags, then environment (POSTROOM_…), then the YAML file of --config.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found something.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(env), newDemo(env), newDoctor(env), newInbox(env), newMigrate(env), newParked(env),
		newScheduled(env), newSource(env), newStatus(env), newReplay(env), newTrace(env), newPrune(env),
		newBackfill(env), newCompare(env), newVersion(env))
	group(root)
	addVersionFlag(env, root)
	return root
}

// group makes a command that only has subcommands fail and list them. Without it cobra prints the help and
// ends with 0, as if something had been done.
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
		return usageError{fmt.Errorf("unknown command %q: the commands are %s", args[0], strings.Join(names, ", "))}
	}
}

// usageError is a mistake in the arguments, the flags or the configuration.
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

// flagError suggests the flag that was probably meant.
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

// noArgs rejects all arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: use flags for settings, for example --source name",
			args[0])}
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
		_, _ = fmt.Fprintf(w, "%s%d errors:\n", prefix, len(lines))
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

// isJoin reports whether err comes from errors.Join. Other errors wrap several within a text of their own.
func isJoin(err error, parts []error) bool {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Error()
	}
	return err.Error() == strings.Join(texts, "\n")
}

// untilSignal returns a context that ends at the first SIGTERM or SIGINT, for commands that have nothing to drain.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
}

// drainOnSignal returns a context that ends at the first SIGTERM or SIGINT. The second signal calls exit.
// The caller calls stop when it is done; then signals have their usual effect again.
func drainOnSignal(
	parent context.Context, mode relay.Mode, log *slog.Logger, exit func(int),
) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2) // signal.Notify drops a signal for which there is no room
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			log.Info("draining: events in flight are delivered; a second signal stops at once", "signal", s.String())
			cancel()
		case <-over:
			return
		}
		select {
		case s := <-signals:
			log.Error(stoppedAtOnce(mode), "signal", s.String())
			exit(exitFailed)
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-ended
		cancel()
	}
}

// stoppedAtOnce says what an interrupted drain leaves behind.
func stoppedAtOnce(mode relay.Mode) string {
	if mode == relay.ExactlyOnce {
		return "stopped at once: no event is lost, and no record becomes visible twice; " +
			"the next relay ends the open transaction"
	}
	return "stopped at once: no event is lost; some records may be sent again"
}
