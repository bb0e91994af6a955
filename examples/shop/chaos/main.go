//go:build unix

// Command chaos runs the whole shop as processes, lets customers order, and kills, stops and cuts everything at random:
// services, relays, Kafka, RabbitMQ, Redis and the databases' connections. Then it waits until the shop is at rest, and
// looks at all that must hold:
//
//	go run ./examples/shop/chaos
//
// It starts servers of its own (dev/services), because it kills them. With -rule-off RULE the shop runs without one of
// its rules, and what the rule protects must be broken.
//
// Exit codes: 0 what was expected came, 1 it did not, 2 wrong usage.
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
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postroom/postroom/examples/shop/rules"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	os.Exit(code)
}

// options are the flags.
type options struct {
	duration, settle time.Duration
	seed             uint64
	ruleOff          rules.Rule
	orders, kills    int
	customers        int
	rate             float64
	workers          int
	json, keep       bool
	given, calm      bool
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&o.duration, "duration", time.Minute, "for how long there is trouble")
	flags.DurationVar(&o.settle, "settle", 10*time.Minute, "how long the shop may take to come to rest afterwards")
	flags.Uint64Var(&o.seed, "seed", 0, "of troubles and customers; 0: a random one")
	rule := flags.String("rule-off", "",
		fmt.Sprintf("run without a `rule`, one of %q: what it protects must be broken", rules.All()))
	flags.IntVar(&o.orders, "orders", -1, "fewer accepted ones fail the run; -1: 5000 for each minute")
	flags.IntVar(&o.kills, "kills", -1, "fewer fail the run; -1: 40 for each minute")
	flags.IntVar(&o.customers, "customers", 200, "how many there are")
	flags.IntVar(&o.workers, "workers", 16, "customers who do something at the same time")
	flags.Float64Var(&o.rate, "rate", 0, "actions of customers in a second; 0: enough for -orders, and a fifth more")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	flags.BoolVar(&o.keep, "keep", false, "keep logs and data of a run that passed too")
	flags.BoolVar(&o.given, "given", false,
		"use the servers that the environment variables of the tests name; they are not killed or restarted")
	flags.BoolVar(&o.calm, "calm", false, "make no trouble, to see what the shop does without")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if o.ruleOff = rules.Rule(*rule); o.ruleOff != "" {
		if _, err := rules.Parse(*rule); err != nil {
			return o, err
		}
	}
	for minimum, each := range map[*int]float64{&o.orders: 5000, &o.kills: 40} {
		if *minimum < 0 {
			*minimum = int(each * o.duration.Minutes())
		}
	}
	if o.rate == 0 { // seven actions in ten are orders
		o.rate = float64(max(o.orders, 10)) / o.duration.Seconds() / 0.7 * 1.2
	}
	if o.calm {
		o.kills = 0
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) + 1
	}
	return o, nil
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) (code int, err error) {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	root, err := moduleRoot()
	if err != nil {
		return 2, err
	}
	dir := filepath.Join(root, ".dev", "shop-chaos-runs", fmt.Sprint(time.Now().Format("20060102-150405-"), o.seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 1, err
	}
	screen := out
	if o.json {
		screen = os.Stderr
	}
	report, err := o.chaos(ctx, root, dir, getenv, screen)
	if err != nil {
		return 1, fmt.Errorf("%w; the logs are in %s", err, dir)
	}
	write := report.write
	if o.json {
		write = func(out io.Writer) error {
			encoder := json.NewEncoder(out)
			encoder.SetIndent("", "  ")
			return encoder.Encode(report)
		}
	}
	if err := write(out); err != nil {
		return 1, err
	}
	if !report.Passed {
		return 1, nil
	}
	if !o.keep {
		return 0, os.RemoveAll(dir)
	}
	return 0, nil
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
