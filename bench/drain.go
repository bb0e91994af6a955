package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
)

const (
	ceilingName = "ceiling"
	relayName   = "relay"

	atLeastOnce = "at-least-once"
	exactlyOnce = "exactly-once"
)

type drainOptions struct {
	options
	Rows     int     `json:"rows"`
	Rounds   int     `json:"rounds"`
	Warmup   int     `json:"warmup_rounds"`
	Batch    int     `json:"ceiling_batch"`
	Window   int     `json:"ceiling_window"`
	Plain    bool    `json:"ceiling_without_headers"`
	Mode     string  `json:"mode"`
	MinRatio float64 `json:"min_ratio"`
	only     string
}

// drainReport is what the benchmark prints with -json.
type drainReport struct {
	Settings drainOptions       `json:"settings"`
	Rounds   []figures          `json:"rounds"`
	Medians  map[string]figures `json:"medians"`
	Ratio    float64            `json:"ratio_of_median_rates"` // relay to ceiling
	// Lowest and Highest are the ratios of single rounds: how far to trust Ratio.
	Lowest  float64 `json:"lowest_ratio_of_a_round"`
	Highest float64 `json:"highest_ratio_of_a_round"`
}

func drainCommand(ctx context.Context, args []string, out io.Writer) error {
	var o drainOptions
	flags := flag.NewFlagSet("drain", flag.ContinueOnError)
	o.register(flags)
	flags.IntVar(&o.Rows, "rows", 300_000, "rows of backlog")
	flags.IntVar(&o.Rounds, "rounds", 7, "rounds; each runs both")
	flags.IntVar(&o.Warmup, "warmup", 1, "rounds before those, not counted")
	flags.IntVar(
		&o.Batch, "batch", 0, "the ceiling's rows of a read, and of a transaction (default 5000, exactly-once 10000)",
	)
	flags.StringVar(&o.Mode, "mode", atLeastOnce, "at-least-once or exactly-once: relay and ceiling use transactions")
	flags.IntVar(&o.Window, "window", 4, "the ceiling's batches in memory")
	flags.BoolVar(&o.Plain, "plain", false, "the ceiling sends no headers, and so less than the relay")
	flags.Float64Var(&o.MinRatio, "min-ratio", 0, "exit with 1 when relay/ceiling is below this")
	flags.StringVar(&o.only, "only", "", "run only ceiling or relay, as when tuning")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.Mode != atLeastOnce && o.Mode != exactlyOnce {
		return fmt.Errorf("-mode is %q: want %s or %s", o.Mode, atLeastOnce, exactlyOnce)
	}
	if o.Batch == 0 {
		o.Batch = map[string]int{atLeastOnce: 5000, exactlyOnce: 10000}[o.Mode]
	}
	r, err := drain(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(out, o.json); err != nil {
		return err
	}
	if o.only == "" && r.Ratio < o.MinRatio {
		return fmt.Errorf(
			"%w: the relay reached %.1f %% of the ceiling, below %.1f %%", errMissed, 100*r.Ratio, 100*o.MinRatio,
		)
	}
	return nil
}

// drain alternates ceiling and relay, each on rows and a topic of its own.
func drain(ctx context.Context, o drainOptions) (_ *drainReport, err error) {
	if o.Rows < 1 || o.Rounds < 1 || o.Warmup < 0 {
		return nil, errors.New("-rows and -rounds must be positive, and -warmup not negative")
	}
	b, err := open(ctx, o.options)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	b.mode = o.Mode
	contenders, err := o.contenders(b)
	if err != nil {
		return nil, err
	}
	r := &drainReport{Settings: o, Medians: map[string]figures{}}
	for round := 1 - o.Warmup; round <= o.Rounds; round++ {
		for _, start := range contenders {
			f, err := b.contestOnce(ctx, o.Rows, start)
			if err != nil {
				return nil, err
			}
			if f.Round = round; round > 0 {
				r.Rounds = append(r.Rounds, f)
			}
		}
	}
	r.compare()
	return r, nil
}

// compare fills in what is computed from the rounds.
func (r *drainReport) compare() {
	for _, name := range []string{ceilingName, relayName} {
		r.Medians[name] = medians(name, r.Rounds)
	}
	if r.Settings.only != "" {
		return
	}
	r.Ratio = r.Medians[relayName].Rate / r.Medians[ceilingName].Rate
	for i := 0; i+1 < len(r.Rounds); i += 2 {
		ratio := r.Rounds[i+1].Rate / r.Rounds[i].Rate
		if i == 0 {
			r.Lowest, r.Highest = ratio, ratio
		}
		r.Lowest, r.Highest = min(r.Lowest, ratio), max(r.Highest, ratio)
	}
}

func (o drainOptions) contenders(b *bench) ([]func() (*child, error), error) {
	ceiling := func() (*child, error) {
		args := []string{
			"-batch", strconv.Itoa(o.Batch), "-window", strconv.Itoa(o.Window),
			"-plain=" + strconv.FormatBool(o.Plain),
		}
		if o.Mode == exactlyOnce {
			args = append(args, "-transactional-id", b.db.name)
		}
		return b.start(ceilingName, b.programs.ceiling, args...)
	}
	switch o.only {
	case "":
		return []func() (*child, error){ceiling, b.startRelay}, nil
	case ceilingName:
		return []func() (*child, error){ceiling}, nil
	case relayName:
		return []func() (*child, error){b.startRelay}, nil
	}
	return nil, fmt.Errorf("-only is %q: want %s or %s", o.only, ceilingName, relayName)
}

// contestOnce bounds a contest, so that a contender that hangs is an error.
func (b *bench) contestOnce(ctx context.Context, rows int, start func() (*child, error)) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return b.contest(ctx, rows, start)
}

// medians takes the median of each figure by itself.
func medians(name string, rounds []figures) figures {
	of := func(figure func(figures) float64) float64 {
		var values []float64
		for _, f := range rounds {
			if f.Contender == name {
				values = append(values, figure(f))
			}
		}
		return median(values)
	}
	return figures{
		Contender: name,
		Rate:      of(func(f figures) float64 { return f.Rate }),
		Seconds:   of(func(f figures) float64 { return f.Seconds }),
		StartUp:   of(func(f figures) float64 { return f.StartUp }),
		CPU:       of(func(f figures) float64 { return f.CPU }),
		PeakMB:    of(func(f figures) float64 { return f.PeakMB }),
	}
}

func (r *drainReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	o := r.Settings
	fmt.Fprintf(
		out,
		"drain: %s, %s, %d rows of %d bytes, %d keys, %d partitions, acks=all; "+
			"ceiling: batches of %d, %d in memory%s\n",
		o.Database, o.Mode, o.Rows, payloadBytes, keys, partitions, o.Batch, o.Window,
		map[bool]string{true: ", no headers"}[o.Plain],
	)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\tcontender\tevents/s\tseconds\tstart-up s\tCPU s/million\tpeak MB\t")
	line := func(round string, f figures) {
		fmt.Fprintf(
			w, "%s\t%s\t%.0f\t%.3f\t%.3f\t%.2f\t%.1f\t\n", round, f.Contender, f.Rate, f.Seconds, f.StartUp, f.CPU,
			f.PeakMB,
		)
	}
	for _, f := range r.Rounds {
		line(strconv.Itoa(f.Round), f)
	}
	for _, name := range []string{ceilingName, relayName} {
		if f := r.Medians[name]; f.Rate > 0 {
			line("median", f)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Ratio > 0 {
		fmt.Fprintf(
			out, "relay/ceiling, medians: %.1f %% (single rounds: %.1f to %.1f %%)\n", 100*r.Ratio, 100*r.Lowest,
			100*r.Highest,
		)
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
