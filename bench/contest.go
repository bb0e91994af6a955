package main

import (
	"context"
	"fmt"
	"time"
)

// figures are what one contender did with one backlog.
type figures struct {
	Round     int     `json:"round"`
	Contender string  `json:"contender"`
	Rate      float64 `json:"events_per_second"`
	// Seconds is from the first record in Kafka to the empty table, and is what Rate is
	// of. StartUp is from the start of the process to the first record.
	Seconds float64 `json:"seconds"`
	StartUp float64 `json:"startup_seconds"`
	CPU     float64 `json:"cpu_seconds_per_million_events"`
	PeakMB  float64 `json:"peak_memory_mb"`
}

const mega = 1e6

// contest lets a contender drain a fresh backlog of n rows into a fresh topic.
func (b *bench) contest(ctx context.Context, n int, start func() (*child, error)) (f figures, err error) {
	topic, err := b.broker.newTopic(ctx)
	if err != nil {
		return figures{}, err
	}
	defer atEnd(&err, func(ctx context.Context) error { return b.broker.deleteTopic(ctx, topic) })
	if err := b.db.fill(ctx, topic, n); err != nil {
		return figures{}, err
	}
	contender, err := start()
	if err != nil {
		return figures{}, err
	}
	t, err := b.watch(ctx, contender, topic, int64(n))
	used, stopErr := contender.stop()
	if err == nil {
		err = stopErr
	}
	if err != nil {
		return figures{}, err
	}
	// What arrived after the table was empty would be a duplicate.
	count := b.broker.watermark
	if b.mode == exactlyOnce {
		count = b.broker.committed
	}
	if sent, err := count(ctx, topic); err != nil || sent != int64(n) {
		return figures{}, fmt.Errorf("%s sent %d records for %d rows: %w", contender.name, sent, n, orMiscount(err))
	}
	took := t.empty.Sub(t.first).Seconds()
	return figures{
		Contender: contender.name,
		Rate:      float64(int64(n)-t.early) / took,
		Seconds:   took,
		StartUp:   t.first.Sub(contender.started).Seconds(),
		CPU:       used.cpu.Seconds() / (float64(n) / mega),
		PeakMB:    float64(used.peak) / mega,
	}, nil
}

func orMiscount(err error) error {
	if err == nil {
		err = errMissed
	}
	return err
}

// times are the marks of a drain.
type times struct {
	first time.Time // records were seen in Kafka
	early int64     // that many
	empty time.Time // the table was
}

// How often the watcher asks, so that it costs the contenders nothing that shows.
const (
	askFirst = 5 * time.Millisecond  // until the first record is there
	askAll   = 20 * time.Millisecond // until all are
	askEmpty = 2 * time.Millisecond  // until the last row is gone
)

// watch follows a drain from outside: through Kafka's high watermarks, and then through
// the table.
func (b *bench) watch(ctx context.Context, contender *child, topic string, n int64) (times, error) {
	var t times
	every := askFirst
	for sent := int64(0); sent < n; {
		if err := contender.sleep(ctx, every); err != nil {
			return t, err
		}
		var err error
		if sent, err = b.broker.watermark(ctx, topic); err != nil {
			return t, err
		}
		if sent > 0 && t.first.IsZero() {
			t.first, t.early, every = time.Now(), sent, askAll
		}
		// The watermarks count the ends of transactions too, and so say too little of
		// how many records there are. The table tells when all are.
		if b.mode == exactlyOnce && sent > 0 {
			break
		}
	}
	every = askEmpty
	if b.mode == exactlyOnce {
		every = askAll // it goes on for the whole drain
	}
	for {
		empty, err := b.db.empty(ctx)
		if err != nil {
			return t, err
		}
		if empty {
			t.empty = time.Now()
			return t, nil
		}
		if err := contender.sleep(ctx, every); err != nil {
			return t, err
		}
	}
}

// sleep waits, unless the contender ends or ctx does.
func (c *child) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.exited:
		return c.gone()
	case <-ctx.Done():
		return ctx.Err()
	}
}
