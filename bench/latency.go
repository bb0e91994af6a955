package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

const bareName = "bare loop"

type latencyOptions struct {
	options
	Rate   int           `json:"transactions_per_second"`
	For    time.Duration `json:"duration_ns"`
	Rounds int           `json:"rounds"`
	Poll   time.Duration `json:"bare_loop_poll_ns"`
}

// latencies are what one contender made of one load.
type latencies struct {
	Round     int     `json:"round"`
	Contender string  `json:"contender"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Rate      float64 `json:"transactions_per_second"` // that the writers reached
	Events    int     `json:"events"`
	Lost      int     `json:"lost"`
	Repeated  int     `json:"repeated"`
	CPU       float64 `json:"cpu_seconds"`
}

type latencyReport struct {
	Settings latencyOptions       `json:"settings"`
	Rounds   []latencies          `json:"rounds"`
	Medians  map[string]latencies `json:"medians"`
}

func latencyCommand(ctx context.Context, args []string, out io.Writer) error {
	var o latencyOptions
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	o.register(flags)
	flags.IntVar(&o.Rate, "rate", 1000, "transactions per second, of one event each")
	flags.DurationVar(&o.For, "for", 20*time.Second, "length of a round")
	flags.IntVar(&o.Rounds, "rounds", 3, "rounds; each runs both")
	flags.DurationVar(&o.Poll, "poll", 2*time.Millisecond, "how often the bare loop polls")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := latency(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(out, o.json); err != nil {
		return err
	}
	if m := r.Medians[relayName]; m.Lost > 0 || m.Repeated > 0 {
		return fmt.Errorf("%w: the relay lost %d events and repeated %d", errMissed, m.Lost, m.Repeated)
	}
	return nil
}

// latency alternates bare loop and relay.
func latency(ctx context.Context, o latencyOptions) (_ *latencyReport, err error) {
	if o.Rate < 1 || o.For <= 0 || o.Rounds < 1 || o.Poll <= 0 {
		return nil, errors.New("-rate, -for, -rounds and -poll must be positive")
	}
	b, err := open(ctx, o.options)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	contenders := []func() (*child, error){
		func() (*child, error) {
			return b.start(bareName, b.programs.ceiling, "-follow", o.Poll.String(), "-batch", "1000")
		},
		b.startRelay,
	}
	r := &latencyReport{Settings: o, Medians: map[string]latencies{}}
	for round := 1; round <= o.Rounds; round++ {
		for _, start := range contenders {
			l, err := b.measureLatency(ctx, o, start)
			if err != nil {
				return nil, err
			}
			l.Round = round
			r.Rounds = append(r.Rounds, l)
		}
	}
	for _, name := range []string{bareName, relayName} {
		r.Medians[name] = latencyMedians(name, r.Rounds)
	}
	return r, nil
}

func (b *bench) measureLatency(
	ctx context.Context, o latencyOptions,
	start func() (*child, error),
) (l latencies, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.For+2*time.Minute)
	defer cancel()
	topic, err := b.broker.newTopic(ctx)
	if err != nil {
		return l, err
	}
	defer atEnd(&err, func(ctx context.Context) error { return b.broker.deleteTopic(ctx, topic) })
	if err := b.db.fill(ctx, topic, 0); err != nil {
		return l, err
	}
	contender, err := start()
	if err != nil {
		return l, err
	}
	load := newLoad(b, topic, o.Rate, o.For)
	err = load.run(ctx, contender)
	used, stopErr := contender.stop()
	if err == nil {
		err = stopErr
	}
	if err != nil {
		return l, err
	}
	l = load.result()
	l.Contender, l.CPU = contender.name, used.cpu.Seconds()
	return l, nil
}

// latencyMedians takes the median of each figure by itself, and the sum of what was
// lost and repeated.
func latencyMedians(name string, rounds []latencies) latencies {
	m := latencies{Contender: name}
	rounds = slices.DeleteFunc(slices.Clone(rounds), func(l latencies) bool { return l.Contender != name })
	of := func(figure func(latencies) float64) float64 {
		values := make([]float64, len(rounds))
		for i, l := range rounds {
			values[i] = figure(l)
		}
		return median(values)
	}
	m.P50 = of(func(l latencies) float64 { return l.P50 })
	m.P99 = of(func(l latencies) float64 { return l.P99 })
	m.Max = of(func(l latencies) float64 { return l.Max })
	m.Rate = of(func(l latencies) float64 { return l.Rate })
	m.CPU = of(func(l latencies) float64 { return l.CPU })
	for _, l := range rounds {
		m.Events += l.Events
		m.Lost += l.Lost
		m.Repeated += l.Repeated
	}
	return m
}

func (r *latencyReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	o := r.Settings
	fmt.Fprintf(
		out,
		"latency, commit to consumed: %s, %d transactions/s for %v, %d writers, %d bytes, %d partitions, acks=all; "+
			"bare loop polls every %v\n",
		o.Database, o.Rate, o.For, writers, payloadBytes, partitions, o.Poll,
	)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\tcontender\tp50 ms\tp99 ms\tmax ms\ttransactions/s\tevents\tlost\trepeated\tCPU s\t")
	line := func(round string, l latencies) {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%d\t%d\t%d\t%.2f\t\n",
			round, l.Contender, l.P50, l.P99, l.Max, l.Rate, l.Events, l.Lost, l.Repeated, l.CPU)
	}
	for _, l := range r.Rounds {
		line(strconv.Itoa(l.Round), l)
	}
	for _, name := range []string{bareName, relayName} {
		line("median", r.Medians[name])
	}
	return w.Flush()
}
