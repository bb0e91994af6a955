package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/internal/steady"
	"github.com/postroom/postroom/outbox"
)

// writers bounds the transactions that are open at a time.
const writers = 16

// load writes events at a steady rate and consumes them again. Event 0 is not counted:
// its arrival says that the contender is up.
type load struct {
	bench    *bench
	topic    string
	every    time.Duration
	events   int
	outbox   *outbox.Outbox
	took     time.Duration  // of the writing
	commit   []atomic.Int64 // when the writer was told so, in ns since began
	consumed []atomic.Int64 // when it was first seen; 0: not yet
	repeated atomic.Int64
	arrived  atomic.Int64
	began    time.Time
}

func newLoad(b *bench, topic string, rate int, length time.Duration) *load {
	n := max(1, int(float64(rate)*length.Seconds())) + 1 // and event 0
	return &load{
		bench: b, topic: topic, every: time.Second / time.Duration(rate), events: n,
		commit: make([]atomic.Int64, n), consumed: make([]atomic.Int64, n), began: time.Now(),
	}
}

func (l *load) run(ctx context.Context, contender *child) (err error) {
	if l.outbox, err = outbox.New(l.bench.db.dialect); err != nil {
		return err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(l.bench.broker.addresses...),
		kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer consumer.Close()
	consuming, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.consume(consuming, consumer)
	}()
	defer func() { stop(); <-done }()

	if err := l.write(ctx, 0); err != nil {
		return err
	}
	if err := l.await(ctx, contender, 1, time.Minute); err != nil {
		return err
	}
	if l.arrived.Load() == 0 {
		return fmt.Errorf("%s did not deliver the first event\n%s", contender.name, contender.said)
	}
	if err := l.writeAll(ctx); err != nil {
		return err
	}
	return l.await(ctx, contender, int64(l.events), 3*time.Second)
}

// writeAll starts a transaction at every tick, whether or not those before are done.
func (l *load) writeAll(ctx context.Context) error {
	due := make(chan int, l.events)
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error {
			for event := range due {
				if err := l.write(ctx, event); err != nil {
					return err
				}
			}
			return nil
		})
	}
	start := time.Now()
	err := steady.Load{First: l.every, Every: l.every, Limit: l.events - 1}.Run(ctx, func(n int) error {
		due <- n + 1
		return nil
	})
	close(due)
	err = errors.Join(err, g.Wait()) // where a writer failed, it says why
	l.took = time.Since(start)
	return err
}

func (l *load) write(ctx context.Context, event int) (err error) {
	tx, err := l.bench.db.sql.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	payload := make([]byte, payloadBytes)
	binary.BigEndian.PutUint64(payload, uint64(event))
	err = l.outbox.Add(ctx, tx, outbox.Event{
		Topic: l.topic, Key: "key-" + strconv.Itoa(event%keys), Type: "bench.happened", Payload: payload,
	})
	if err != nil {
		_ = tx.Rollback() // the error of Add says more
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	l.commit[event].Store(int64(time.Since(l.began)))
	return nil
}

func (l *load) consume(ctx context.Context, consumer *kgo.Client) {
	for ctx.Err() == nil {
		fetched := consumer.PollFetches(ctx)
		now := int64(time.Since(l.began))
		fetched.EachRecord(func(r *kgo.Record) {
			event := int(binary.BigEndian.Uint64(r.Value))
			if l.consumed[event].CompareAndSwap(0, now) {
				l.arrived.Add(1)
			} else {
				l.repeated.Add(1)
			}
		})
	}
}

// await returns when n events have arrived, or when none has for as long as patience.
func (l *load) await(ctx context.Context, contender *child, n int64, patience time.Duration) error {
	last, since := l.arrived.Load(), time.Now()
	for {
		arrived := l.arrived.Load()
		if arrived != last {
			last, since = arrived, time.Now()
		}
		if arrived >= n || time.Since(since) > patience {
			return nil
		}
		if err := contender.sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func (l *load) result() latencies {
	var took []float64
	for event := 1; event < l.events; event++ {
		if at := l.consumed[event].Load(); at != 0 {
			took = append(took, float64(at-l.commit[event].Load())/float64(time.Millisecond))
		}
	}
	slices.Sort(took)
	return latencies{
		P50: percentile(took, 50), P99: percentile(took, 99), Max: percentile(took, 100),
		Rate: float64(l.events-1) / l.took.Seconds(), Events: len(took),
		Lost: l.events - 1 - len(took), Repeated: int(l.repeated.Load()),
	}
}
