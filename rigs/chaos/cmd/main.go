//go:build unix

// Command cmd runs the chaos test: go run ./rigs/chaos/cmd, or make chaos. It builds the relay command,
// starts servers of its own, and makes one run for each database and mode, one after another. The runs of the
// consumers use all databases at the same time. Exit codes: 0 all passed, 1 a run could not be made or did
// too little, 2 wrong usage, 3 a property was broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postroom/postroom/rigs/chaos"
)

const (
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if consumer, ok := chaos.BankConsumerOf(); ok {
		if err := consumer.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "consumer:", err)
			stop()
			os.Exit(exitFailed)
		}
		return
	}
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	stop()
	os.Exit(code)
}

// defaultModes are the modes that make chaos and .ci/run test.
const defaultModes = string(chaos.AtLeastOnce + "," + chaos.ExactlyOnce + "," + chaos.Consumers)

// options are the options of the command line.
type options struct {
	chaos.Settings
	databases, modes []string
	json, keep       bool
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	databases := flags.String("database", "postgres,mariadb", "`databases`: postgres, mariadb or both")
	modes := flags.String(
		"mode", defaultModes, "`modes`: of the relay at-least-once and exactly-once; consumers for theirs",
	)
	flags.StringVar(&o.Broker, "broker", chaos.Kafka, "`broker`: kafka, or rabbitmq, which has at-least-once alone")
	flags.DurationVar(&o.Duration, "duration", time.Minute, "for how long there is trouble, in each run")
	flags.Uint64Var(&o.Seed, "seed", 0, "of trouble and writers; 0: a random one")
	flags.DurationVar(
		&o.LeaseTTL, "lease-ttl", 1500*time.Millisecond, "of the relays; pauses are longer by 0.1 to 2.0 s",
	)
	flags.IntVar(&o.Relays, "relays", 3, "relay processes")
	flags.IntVar(&o.Writers, "writers", 12, "writers")
	flags.IntVar(&o.MinKills, "min-kills", -1, "fewer fail the run; -1: 40 for each minute")
	flags.IntVar(&o.MinPauses, "min-pauses", -1, "fewer fail the run; -1: 40 for each minute")
	flags.IntVar(
		&o.MinEvents, "min-events", -1,
		"fewer committed ones fail the run, and the writers' rate follows from it; -1: 40000 for each minute",
	)
	flags.StringVar(&o.Binary, "relay", "", "`path` of the relay command; default: it is built")
	flags.BoolVar(&o.json, "json", false, "print the reports as JSON")
	flags.BoolVar(&o.keep, "keep", false, "keep the log of a run that passed too")
	verbose := flags.Bool("v", false, "print the log while it is written")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if o.Broker == chaos.RabbitMQ && *modes == defaultModes {
		*modes = string(chaos.AtLeastOnce)
	}
	o.databases, o.modes = strings.Split(*databases, ","), strings.Split(*modes, ",")
	for minimum, each := range map[*int]float64{&o.MinKills: 40, &o.MinPauses: 40, &o.MinEvents: 40_000} {
		if *minimum == -1 {
			*minimum = int(each * o.Duration.Minutes())
		}
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1_000_000) + 1
	}
	if *verbose {
		o.Log = stderr
	}
	o.Say = func(format string, args ...any) { _, _ = fmt.Fprintf(stderr, format+"\n", args...) }
	for _, s := range o.runs("") {
		err = errors.Join(err, s.Validate())
	}
	return o, err
}

// runs returns the settings of each run.
func (o options) runs(root string) (all []chaos.Settings) {
	for _, database := range o.databases {
		for _, mode := range o.modes {
			s := o.Settings
			s.Database, s.Mode = database, chaos.Mode(mode)
			s.Dir = filepath.Join(
				root, ".dev", "chaos-runs",
				fmt.Sprintf("%s-%s-%s-%d", time.Now().Format("20060102-150405"), database, mode, o.Seed),
			)
			all = append(all, s)
		}
	}
	return all
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, err error) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return exitUsage, err
	}
	root, err := moduleRoot()
	if err != nil {
		return exitFailed, err
	}
	o.Say("seed %d", o.Seed)
	if o.Binary == "" {
		dir, err := os.MkdirTemp("", "postroom-chaos-")
		if err != nil {
			return exitFailed, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.Binary = filepath.Join(dir, "relay")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.Binary, "./cmd/relay")
		build.Dir = root
		if said, err := build.CombinedOutput(); err != nil {
			return exitFailed, fmt.Errorf("go build ./cmd/relay: %w\n%s", err, said)
		}
	}
	o.Say("starting servers of our own")
	servers, err := chaos.StartServers(ctx, root, o.Broker, slices.Clone(o.databases), o.Relays)
	if err != nil {
		return exitFailed, err
	}
	defer func() {
		if closing := servers.Close(); closing != nil {
			code, err = max(code, exitFailed), errors.Join(err, closing)
		}
	}()
	return o.runAll(ctx, servers, root, stdout)
}

// runAll makes one run after another. If one fails, the others are still made.
func (o options) runAll(
	ctx context.Context, servers *chaos.Servers, root string, stdout io.Writer,
) (code int, err error) {
	var reports []any
	for _, s := range o.runs(root) {
		if ctx.Err() != nil || s.Mode == chaos.Consumers {
			continue
		}
		o.Say("%s, %s, %v:", s.Database, s.Mode, s.Duration)
		report, failed := chaos.Run(ctx, servers, s)
		if failed != nil {
			code, err = max(code, exitFailed), errors.Join(err, explain(s, failed))
			continue
		}
		reports = append(reports, report)
		code = max(code, codeOf(report))
		if !o.json {
			err = errors.Join(err, report.Write(stdout))
		}
		if report.Passed() && !o.keep {
			err = errors.Join(err, os.RemoveAll(s.Dir))
		}
	}
	bankCode, banks, failed := o.runBanks(ctx, servers, root, stdout)
	code, err = max(code, bankCode), errors.Join(err, failed)
	for _, report := range banks {
		reports = append(reports, report)
	}
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = errors.Join(err, encoder.Encode(reports))
	}
	if err != nil {
		code = max(code, exitFailed)
	}
	return code, err
}

// runBanks makes all runs of the consumers at the same time, because most of the time they wait for sessions
// to end, and an outage of the broker affects all of them anyway.
func (o options) runBanks(
	ctx context.Context, servers *chaos.Servers, root string, stdout io.Writer,
) (code int, reports []*chaos.BankReport, err error) {
	self, err := os.Executable()
	if err != nil {
		return exitFailed, nil, err
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, s := range o.runs(root) {
		if s.Mode != chaos.Consumers {
			continue
		}
		s.Binary = self
		running.Go(func() {
			o.Say("%s, %s, %v:", s.Database, s.Mode, s.Duration)
			report, failed := chaos.RunBank(ctx, servers, s)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				code, err = max(code, exitFailed), errors.Join(err, explain(s, failed))
				return
			}
			reports = append(reports, report)
			switch {
			case len(report.Wrong) > 0:
				code = max(code, exitFound)
			case !report.Passed():
				code = max(code, exitFailed)
			case !o.keep:
				err = errors.Join(err, os.RemoveAll(s.Dir))
			}
			if !o.json {
				_, failed := fmt.Fprint(stdout, report)
				err = errors.Join(err, failed)
			}
		})
	}
	running.Wait()
	return code, reports, err
}

func explain(s chaos.Settings, err error) error {
	return fmt.Errorf("%s, %s, seed %d: %w; the log is in %s", s.Database, s.Mode, s.Seed, err, s.Dir)
}

func codeOf(r *chaos.Report) int {
	switch {
	case r.Passed():
		return 0
	case len(r.Broken()) > 0:
		return exitFound
	}
	return exitFailed
}

// moduleRoot finds the module in which the command was started.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "dev", "services")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("dev/services not found: start this inside the repository")
		}
	}
}
