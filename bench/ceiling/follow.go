package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// follow is the loop that everybody writes first: read above the last id, publish,
// delete, wait. It loses an event whose transaction commits after one with a higher id.
func follow(ctx context.Context, rows table, client *kgo.Client, cfg settings) error {
	b := newBatch(cfg.batch, cfg.plain)
	tick := time.NewTicker(cfg.follow)
	defer tick.Stop()
	for last := int64(0); ; {
		b.reset()
		if err := rows.read(ctx, last, cfg.batch, b); err != nil {
			return fmt.Errorf("read rows above %d: %w", last, err)
		}
		if len(b.records) > 0 {
			last = b.hi
			if err := publish(ctx, client, b); err != nil {
				return err
			}
			if err := rows.remove(ctx, b.lo, b.hi); err != nil {
				return fmt.Errorf("delete rows %d to %d: %w", b.lo, b.hi, err)
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish returns when the broker has acknowledged the whole batch.
func publish(ctx context.Context, client *kgo.Client, b *batch) error {
	records := make([]*kgo.Record, len(b.records))
	for i := range b.records {
		records[i] = &b.records[i]
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}
