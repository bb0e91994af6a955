package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// These are the defaults and limits of Options.
const (
	DefaultDuration = 10 * time.Second
	DefaultRate     = 300
	MaxRate         = 5000
)

// ErrCheckFailed is returned by Run when the demo ran to its end, but the check found a broken promise. The
// error's text names the checks that failed.
var ErrCheckFailed = errors.New("the demo's check failed")

// Options says how to run the demo. Out is required; the zero value of every other
// field is its default.
type Options struct {
	// Out is where the view and the result are written, usually standard output.
	Out io.Writer

	// Interactive says that Out is a terminal. Then the view is redrawn four times a second. Otherwise Run
	// prints a line each second. Default: lines.
	Interactive bool

	// JSON makes Run print only the result, as JSON (see Result), at the end of the demo.
	JSON bool

	// Duration is how long the shop writes. After that the remaining deliveries and the check take about a
	// second. Default 10 s.
	Duration time.Duration

	// Orders ends the writing earlier, after the shop has tried this many orders, including those that it
	// rolled back. Default 0: only Duration ends it.
	Orders int

	// Rate is how many orders a second the shop tries to write, at most MaxRate. On a disk with a slow sync
	// it writes fewer. Default 300.
	Rate int

	// Dir is the directory of the two databases. Their files must not exist yet, and they stay after the
	// demo. Run creates a missing directory. Default: a temporary directory, which is removed at the end.
	Dir string

	// Logger receives the log of the relay and the inbox. Default: the log is discarded, because its lines
	// would spoil the view.
	Logger *slog.Logger

	// settleFor is how long delivery may take after the last order.
	settleFor time.Duration
	hooks     hooks
}

// hooks let the tests inject the faults that the check has to find.
type hooks struct {
	built func(*parts)                        // before anything starts
	over  func(context.Context, *parts) error // called when everything has ended, before the check
}

func (o Options) withDefaults() (Options, error) {
	if o.Duration == 0 {
		o.Duration = DefaultDuration
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.settleFor == 0 {
		o.settleFor = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if o.Out == nil {
		errs = append(errs, errors.New("no output: pass where the view goes in Options.Out, such as os.Stdout"))
	}
	if o.Duration < 0 {
		errs = append(errs, fmt.Errorf("a duration of %v: want more than 0", o.Duration))
	}
	if o.Orders < 0 {
		errs = append(errs, fmt.Errorf("%d orders: want 0 (no limit) or more", o.Orders))
	}
	if o.Rate < 0 || o.Rate > MaxRate {
		errs = append(errs, fmt.Errorf("%d orders a second: want 1 to %d", o.Rate, MaxRate))
	}
	return o, errors.Join(errs...)
}

// Run runs the demo and prints its progress to Options.Out. It returns nil if the check at the end found no
// fault, ErrCheckFailed if it found one, and another error if the demo could not run. When ctx ends, the shop
// stops writing at once. The orders that it has written are still delivered and checked, which takes about a
// second.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	dir, remove, err := directory(o.Dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	result, err := run(ctx, o, dir)
	if err := errors.Join(err, remove()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := result.print(o); err != nil {
		return fmt.Errorf("demo: print the result: %w", err)
	}
	return result.err()
}

// directory returns the directory of the databases, and a function to call at the end.
func directory(given string) (dir string, remove func() error, err error) {
	if given != "" {
		return given, func() error { return nil }, os.MkdirAll(given, 0o700)
	}
	dir, err = os.MkdirTemp("", "postroom-demo-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

func run(ctx context.Context, o Options, dir string) (Result, error) {
	p, err := build(context.WithoutCancel(ctx), o, dir)
	if err != nil {
		return Result{}, err
	}
	if o.hooks.built != nil {
		o.hooks.built(p)
	}
	started := time.Now()
	err = p.run(ctx)
	took := time.Since(started)
	if err == nil && o.hooks.over != nil {
		err = o.hooks.over(context.WithoutCancel(ctx), p)
	}
	var f facts
	if err == nil {
		f, err = p.facts(context.WithoutCancel(ctx))
	}
	if err := errors.Join(err, p.close()); err != nil {
		return Result{}, err
	}
	return newResult(f, p.stats, took), nil
}
