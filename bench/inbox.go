package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// The contenders, and what their handler does.
const (
	perMessageName  = "per message"
	batchName       = "batch"
	copyName        = "bare COPY"
	upsertName      = "batch, upsert"
	offsetsIDsName  = "offsets with ids, upsert"
	offsetsName     = "offsets without ids, upsert"
	fromKafka       = "kafka"  // inboxkafka's runner, on a topic that holds the messages already
	fromMemory      = "memory" // package inbox alone, on messages in memory
	allSources      = fromKafka + "," + fromMemory
	defaultRows     = 80_000
	defaultSlowRows = 4_000
)

type inboxOptions struct {
	options
	Rows     int    `json:"messages"`
	SlowRows int    `json:"messages_one_by_one"`
	Batch    int    `json:"messages_of_a_batch"`
	Rounds   int    `json:"rounds"`
	Warmup   int    `json:"warmup_rounds"`
	Sources  string `json:"sources"`
	only     string

	MinPerMessage float64 `json:"min_batch_to_per_message"`
	MinCopy       float64 `json:"min_batch_to_copy"`
	MinOffsets    float64 `json:"min_offsets_to_batch"`
}

// slice is what one contender did with its messages.
type slice struct {
	Round     int     `json:"round"`
	Source    string  `json:"source"`
	Contender string  `json:"contender"`
	Messages  int     `json:"messages"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"messages_per_second"`
}

// comparison is the ratio of two contenders' rates.
type comparison struct {
	Name    string  `json:"name"`
	Source  string  `json:"source"`
	Ratio   float64 `json:"ratio_of_median_rates"`
	Lowest  float64 `json:"lowest_ratio_of_a_round"`
	Highest float64 `json:"highest_ratio_of_a_round"`
	Wanted  float64 `json:"wanted"`
}

type inboxReport struct {
	Settings inboxOptions `json:"settings"`
	// Server holds the database's settings that say how durable a commit is.
	Server      map[string]string `json:"server"`
	Slices      []slice           `json:"slices"`
	Comparisons []comparison      `json:"comparisons"`
}

func inboxCommand(ctx context.Context, args []string, out io.Writer) error {
	var o inboxOptions
	flags := flag.NewFlagSet("inbox", flag.ContinueOnError)
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.IntVar(&o.Rows, "rows", defaultRows, "messages of each contender's slice")
	flags.IntVar(
		&o.SlowRows, "slow-rows", defaultSlowRows, "messages of a slice of the contender that takes them one by one",
	)
	flags.IntVar(&o.Batch, "batch", 1000, "messages of a batch, at most")
	flags.IntVar(&o.Rounds, "rounds", 7, "rounds; each runs all contenders in turn")
	flags.IntVar(&o.Warmup, "warmup", 1, "rounds before those, not counted")
	flags.StringVar(
		&o.Sources, "source", allSources, "kafka (inboxkafka's runner), memory (package inbox alone), or both",
	)
	flags.StringVar(&o.only, "only", "", "run only this contender, as when tuning")
	flags.Float64Var(&o.MinPerMessage, "min-per-message", 0, "exit with 1 when batch/per message is below this")
	flags.Float64Var(&o.MinCopy, "min-copy", 0, "exit with 1 when batch/COPY is below this")
	flags.Float64Var(&o.MinOffsets, "min-offsets", 0, "exit with 1 when offsets without ids/batch is below this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := runInbox(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(out, o.json); err != nil {
		return err
	}
	for _, c := range r.Comparisons {
		if c.Ratio < c.Wanted {
			return fmt.Errorf("%w: %s, from %s: %.2f, below %.2f", errMissed, c.Name, c.Source, c.Ratio, c.Wanted)
		}
	}
	return nil
}

func (o inboxOptions) check() error {
	if o.Rows < partitions || o.SlowRows < 1 || o.SlowRows > o.Rows || o.Rounds < 1 || o.Warmup < 0 || o.Batch < 1 {
		return fmt.Errorf(
			"-rows must be %d or more, -slow-rows 1 to -rows, -rounds and -batch positive, and -warmup not negative",
			partitions,
		)
	}
	for _, source := range o.sources() {
		if source != fromKafka && source != fromMemory {
			return fmt.Errorf("-source is %q: want %s, %s or %s", o.Sources, fromKafka, fromMemory, allSources)
		}
	}
	if o.only != "" && !slices.ContainsFunc(inboxContenders, func(c inboxContender) bool { return c.name == o.only }) {
		return fmt.Errorf("-only is %q, which is no contender", o.only)
	}
	return nil
}

func (o inboxOptions) sources() []string { return strings.Split(o.Sources, ",") }

// runInbox alternates all contenders, each on empty tables.
func runInbox(ctx context.Context, o inboxOptions) (_ *inboxReport, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b, err := openInbox(ctx, o)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	if err := b.produce(ctx); err != nil {
		return nil, err
	}
	r := &inboxReport{Settings: o}
	if r.Server, err = b.settings(ctx); err != nil {
		return nil, err
	}
	for round := 1 - o.Warmup; round <= o.Rounds; round++ {
		for _, c := range inboxContenders {
			for i, source := range o.sources() {
				if o.only != "" && o.only != c.name || c.rows && i > 0 { // COPY has no source: once is enough
					continue
				}
				s, err := b.slice(ctx, c, source)
				if err != nil {
					return nil, fmt.Errorf("%s, from %s: %w", c.name, source, err)
				}
				if s.Round = round; round > 0 {
					r.Slices = append(r.Slices, s)
				}
			}
		}
	}
	r.compare()
	return r, nil
}

// compare fills in what is computed from the slices.
func (r *inboxReport) compare() {
	if r.Settings.only != "" {
		return
	}
	for _, source := range r.Settings.sources() {
		for _, c := range []struct {
			upper, lower string
			wanted       float64
		}{
			{batchName, perMessageName, r.Settings.MinPerMessage},
			{batchName, copyName, r.Settings.MinCopy},
			{offsetsName, upsertName, r.Settings.MinOffsets},
			{offsetsIDsName, upsertName, 0},
		} {
			upper, lower := r.rates(source, c.upper), r.rates(source, c.lower)
			ratios := make([]float64, len(upper))
			for i := range upper {
				ratios[i] = upper[i] / lower[i]
			}
			r.Comparisons = append(r.Comparisons, comparison{
				Name: c.upper + " / " + c.lower, Source: source, Wanted: c.wanted,
				Ratio: median(upper) / median(lower), Lowest: slices.Min(ratios), Highest: slices.Max(ratios),
			})
		}
	}
}

// rates returns a contender's rates, round by round. Bare COPY is beside all sources.
func (r *inboxReport) rates(source, contender string) (rates []float64) {
	for _, s := range r.Slices {
		if s.Contender == contender && (s.Source == source || contender == copyName) {
			rates = append(rates, s.Rate)
		}
	}
	return rates
}

func (r *inboxReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	o := r.Settings
	fmt.Fprintf(
		out,
		"inbox: PostgreSQL, fsync %s, synchronous_commit %s; %d messages of %d bytes (one by one: %d), %d keys, %d "+
			"partitions, batches of %d\n",
		r.Server["fsync"], r.Server["synchronous_commit"], o.Rows, payloadBytes, o.SlowRows, keys, partitions,
		o.Batch,
	)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "source\tcontender\tmessages/s, median\tlowest\thighest")
	for _, c := range inboxContenders {
		for i, source := range o.sources() {
			rates := r.rates(source, c.name)
			if len(rates) == 0 || c.rows && i > 0 {
				continue
			}
			if c.rows {
				source = "rows"
			}
			fmt.Fprintf(
				w, "%s\t%s\t%.0f\t%.0f\t%.0f\n", source, c.name, median(rates), slices.Min(rates), slices.Max(rates),
			)
		}
	}
	fmt.Fprintln(w, "\t\t\t\t\nsource\tratio\tof the medians\tlowest of a round\thighest")
	for _, c := range r.Comparisons {
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.2f\n", c.Source, c.Name, c.Ratio, c.Lowest, c.Highest)
	}
	return errors.Join(w.Flush())
}
