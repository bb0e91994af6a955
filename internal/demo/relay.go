package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// runRelay runs the relay in this process, with the settings of cmd/relay.
func (p *parts) runRelay(ctx context.Context) error {
	r, err := relay.New(relay.Config{
		DB:      p.shopDB.DB,
		Dialect: p.shopDB.Dialect,
		Sink:    p.sink,
		Source:  "shop",
		Logger:  p.options.Logger,

		// SQLite has one writer at a time and no queue of writers. On a slow disk the shop, which commits all
		// the time, may keep the relay's renewals waiting for seconds.
		LeaseTTL:     30 * time.Second,
		DrainTimeout: p.options.settleFor,
	})
	if err != nil {
		return err
	}
	err = r.Run(ctx)
	if errors.Is(err, relay.ErrNotDrained) {
		return nil // the check reports what is missing
	}
	return ended(ctx, err)
}

// countingSink counts the records that its sink has delivered.
type countingSink struct {
	relay.Sink
	stats *stats
}

func newSink(brokers []string, log *slog.Logger, st *stats) (*countingSink, error) {
	kafka, err := relaykafka.New(relaykafka.Config{Brokers: brokers, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("make the relay's sink: %w", err)
	}
	return &countingSink{Sink: kafka, stats: st}, nil
}

// Open implements relay.Sink.
func (s *countingSink) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	return s.Sink.Open(ctx, func(r *relay.Record, err error) {
		if err == nil {
			s.stats.add(func(c *counts) { c.Delivered++ })
		}
		ack(r, err)
	})
}
