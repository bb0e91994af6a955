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

// Defaults and limits of Options.
const (
	DefaultDuration = 10 * time.Second
	DefaultRate     = 300
	MaxRate         = 5000
)

// ErrCheckFailed is returned by Run when the demo ran, and what it found in the end is
// not what Postroom promises. The error's text names the checks that failed.
var ErrCheckFailed = errors.New("the demo's check failed")

// Options says how to run the demo. Out is required; the zero value of every other
// field is its default.
type Options struct {
	// Out is where the view and the verdict go: standard output, mostly.
	Out io.Writer

	// Interactive says that Out is a terminal, on which the view is redrawn four times a
	// second. Otherwise it is a line each second. Default: lines.
	Interactive bool

	// JSON prints the result alone, as JSON (see Result), once the demo is over.
	JSON bool

	// Duration is how long the shop writes. What comes after, the rest of the delivery
	// and the check, takes about a second more. Default 10 s.
	Duration time.Duration

	// Orders ends the writing earlier, once the shop has tried so many; those that it
	// rolls back count. Default 0: only Duration ends it.
	Orders int

	// Rate is how many orders a second the shop tries to write, at most MaxRate. A disk
	// that is slow to sync writes fewer. Default 300.
	Rate int

	// Dir is where the two databases are kept, in files that must not be there yet, and
	// stay. It is made when it is missing. Default: a temporary directory, removed in the end.
	Dir string

	// Logger receives what the relay and the inbox log. Default: nobody does, because
	// lines in between spoil the view.
	Logger *slog.Logger

	// settleFor is how long delivery may take after the last order.
	settleFor time.Duration
	hooks     hooks
}

// hooks are how the tests plant the faults that the check has to find.
type hooks struct {
	built func(*parts)                        // before anything starts
	over  func(context.Context, *parts) error // when everything has ended, before the check
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

// Run runs the demo, prints what happens to Options.Out, and returns nil if the check in
// the end found everything in place, ErrCheckFailed if not, and another error if the
// demo could not run. When ctx ends, the shop stops writing at once; what it has written
// is still delivered and checked, which takes a second or so.
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

// directory returns where the databases go, and what to call in the end.
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
