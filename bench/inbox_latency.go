package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/steady"
)

type inboxLatencyOptions struct {
	Rate   int           `json:"messages_per_second"`
	For    time.Duration `json:"duration_ns"`
	Rounds int           `json:"rounds"`
	json   bool
}

// applied says how long messages took from the producer's call to the commit of their effect.
type applied struct {
	Round     int     `json:"round"`
	Contender string  `json:"contender"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Messages  int     `json:"messages"`
}

type inboxLatencyReport struct {
	Settings inboxLatencyOptions `json:"settings"`
	Rounds   []applied           `json:"rounds"`
	Medians  []applied           `json:"medians"`
}

var latencyContenders = []inboxContender{
	{name: "per message", mode: inboxkafka.PerMessage},
	{name: "batch", mode: inboxkafka.Batch},
	{name: "offsets without ids", mode: inboxkafka.OffsetsInDatabase, without: true},
}

func inboxLatencyCommand(ctx context.Context, args []string, out io.Writer) error {
	var o inboxLatencyOptions
	flags := flag.NewFlagSet("inbox-latency", flag.ContinueOnError)
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.IntVar(&o.Rate, "rate", 500, "messages per second, over all partitions")
	flags.DurationVar(&o.For, "for", 10*time.Second, "length of a slice")
	flags.IntVar(&o.Rounds, "rounds", 3, "rounds; each runs all modes in turn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := inboxLatency(ctx, o)
	if err != nil {
		return err
	}
	return r.print(out)
}

func inboxLatency(ctx context.Context, o inboxLatencyOptions) (_ *inboxLatencyReport, err error) {
	n := int(float64(o.Rate) * o.For.Seconds())
	if o.Rate < 1 || o.Rounds < 1 || n < 1 {
		return nil, errors.New("-rate and -rounds must be positive, and -for long enough for a message")
	}
	b, err := openInbox(ctx, inboxOptions{Rows: n + partitions, Batch: inboxkafka.DefaultMaxBatch})
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	r := &inboxLatencyReport{Settings: o}
	for round := 1; round <= o.Rounds; round++ {
		for _, c := range latencyContenders {
			a, err := b.appliedIn(ctx, c, n, time.Second/time.Duration(o.Rate))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			a.Round = round
			r.Rounds = append(r.Rounds, a)
		}
	}
	for _, c := range latencyContenders {
		of := func(figure func(applied) float64) float64 {
			var values []float64
			for _, a := range r.Rounds {
				if a.Contender == c.name {
					values = append(values, figure(a))
				}
			}
			return median(values)
		}
		r.Medians = append(r.Medians, applied{
			Contender: c.name, Messages: n,
			P50: of(func(a applied) float64 { return a.P50 }),
			P99: of(func(a applied) float64 { return a.P99 }),
			Max: of(func(a applied) float64 { return a.Max }),
		})
	}
	return r, nil
}

// clock holds when messages were sent and how long they took, by the number in their payload.
// The first, one for each partition, tell that the group has begun, and are not counted.
type clock struct {
	start      time.Time
	sent, took []atomic.Int64
	warm, all  chan struct{}
	done       atomic.Int64
}

func (c *clock) outcome(m inbox.Message, _ inbox.Outcome) {
	n := binary.BigEndian.Uint64(m.Payload)
	c.took[n].Store(int64(time.Since(c.start)) - c.sent[n].Load())
	switch c.done.Add(1) {
	case partitions:
		close(c.warm)
	case int64(len(c.took)):
		close(c.all)
	}
}

// appliedIn sends n messages at a steady rate into a topic of their own, which one member of a group consumes.
func (b *inboxBench) appliedIn(
	ctx context.Context, c inboxContender, n int, every time.Duration,
) (a applied, err error) {
	ctx, cancel := context.WithTimeout(ctx, sliceLimit)
	defer cancel()
	if err := b.empty(ctx); err != nil {
		return a, err
	}
	if b.topic, err = b.broker.newTopic(ctx); err != nil {
		return a, err
	}
	defer atEnd(&err, func(ctx context.Context) error {
		topic := b.topic
		b.topic = ""
		return b.broker.deleteTopic(ctx, topic)
	})
	ib, err := inbox.New(inbox.PostgreSQL, consumerName, inbox.WithLogger(quiet()))
	if err != nil {
		return a, err
	}
	group, err := freshName("bench-")
	if err != nil {
		return a, err
	}
	times := &clock{
		start: time.Now(), sent: make([]atomic.Int64, n+partitions), took: make([]atomic.Int64, n+partitions),
		warm: make(chan struct{}), all: make(chan struct{}),
	}
	cfg := b.config(ib, c, group)
	cfg.OnOutcome = times.outcome
	consumer, err := inboxkafka.New(cfg)
	if err != nil {
		return a, err
	}
	work, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work.Go(func() error { return consumer.RunBatch(ctx, c.handler()) })
	work.Go(func() error {
		defer stop()
		return b.send(ctx, times, n, every)
	})
	if err := work.Wait(); err != nil {
		return a, err
	}
	if _, err := b.broker.admin.DeleteGroup(context.WithoutCancel(ctx), group); err != nil {
		return a, err
	}
	if err := b.judge(context.WithoutCancel(ctx), c, n+partitions); err != nil {
		return a, err
	}
	took := make([]float64, n)
	for i := range took {
		took[i] = float64(times.took[i+partitions].Load()) / 1e6
	}
	slices.Sort(took)
	return applied{
		Contender: c.name, Messages: n, P50: percentile(took, 50), P99: percentile(took, 99), Max: took[n-1],
	}, nil
}

// send sends all messages and waits until all are applied.
func (b *inboxBench) send(ctx context.Context, times *clock, n int, every time.Duration) error {
	producer, err := b.producer()
	if err != nil {
		return err
	}
	defer producer.Close()
	failed := make(chan error, n+partitions)
	wait := func(all <-chan struct{}) error {
		select {
		case <-all:
			return nil
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d messages were applied: %w", times.done.Load(), ctx.Err())
		}
	}
	send := func(i int) error {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		payload := make([]byte, payloadBytes)
		binary.BigEndian.PutUint64(payload, uint64(i))
		times.sent[i].Store(int64(time.Since(times.start)))
		m := inbox.Message{
			ID: id.String(), Key: fmt.Sprintf("key-%d", i%keys), Type: "bench.happened",
			Payload: payload, Position: &inbox.Position{Partition: int32(i % partitions)},
		}
		producer.Produce(ctx, record(m), func(_ *kgo.Record, err error) {
			if err != nil {
				failed <- err
			}
		})
		return nil
	}
	if err := (steady.Load{Limit: partitions}).Run(ctx, send); err != nil {
		return err
	}
	if err := wait(times.warm); err != nil {
		return err
	}
	load := steady.Load{Every: every, Limit: n}
	if err := load.Run(ctx, func(i int) error { return send(partitions + i) }); err != nil {
		return err
	}
	return wait(times.all)
}

func (r *inboxLatencyReport) print(out io.Writer) error {
	if r.Settings.json {
		return printJSON(out, r)
	}
	fmt.Fprintf(
		out,
		"inbox-latency: PostgreSQL, %d messages of %d bytes per second, %s, %d partitions; produced to applied\n",
		r.Settings.Rate, payloadBytes, r.Settings.For, partitions,
	)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "round\tmode\tp50 ms\tp99 ms\tmax ms")
	for _, a := range r.Rounds {
		fmt.Fprintf(w, "%d\t%s\t%.1f\t%.1f\t%.1f\n", a.Round, a.Contender, a.P50, a.P99, a.Max)
	}
	for _, a := range r.Medians {
		fmt.Fprintf(w, "median\t%s\t%.1f\t%.1f\t%.1f\n", a.Contender, a.P50, a.P99, a.Max)
	}
	return w.Flush()
}
