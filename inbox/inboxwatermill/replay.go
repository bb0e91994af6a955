package inboxwatermill

import (
	"context"
	"database/sql"
	"log/slog"
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// DefaultReplayEvery is how often Replay looks for what operators asked for.
const DefaultReplayEvery = time.Second

// ReplayOption changes a default of Replay.
type ReplayOption func(*replayConfig)

type replayConfig struct {
	every time.Duration
	log   *slog.Logger
}

// WithReplayEvery says how often Replay looks; it must be positive. Default:
// DefaultReplayEvery.
func WithReplayEvery(d time.Duration) ReplayOption { return func(c *replayConfig) { c.every = d } }

// WithReplayLogger says where Replay reports a database that is out of reach. Default:
// slog.Default().
func WithReplayLogger(log *slog.Logger) ReplayOption { return func(c *replayConfig) { c.log = log } }

// Replay does what operators ask for with `relay inbox parked retry` and `drop`, until ctx
// ends; then it returns nil. Run it beside the router that has Middleware, with the same
// inbox and handler, in as many processes as you like:
//
//	g, ctx := errgroup.WithContext(ctx)
//	g.Go(func() error { return router.Run(ctx) })
//	g.Go(func() error { return inboxwatermill.Replay(ctx, ib, db, handle) })
//	return g.Wait()
//
// The handler gets a message with the id of the parked one as its UUID, its metadata and its
// payload, and the transaction in its context; nothing of the broker's. It is called
// for one key's messages in order. No middleware of the router runs: wrap h in those that
// matter. What a handler sends it writes to an outbox in the transaction, since there
// is no publisher here.
//
// An error of the database is logged and does not end Replay.
func Replay(ctx context.Context, ib *inbox.Inbox, db *sql.DB, h message.NoPublishHandlerFunc,
	opts ...ReplayOption) error {
	cfg := replayConfig{every: DefaultReplayEvery, log: slog.Default()}
	for _, opt := range opts {
		opt(&cfg)
	}
	handler := func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		msg := message.NewMessageWithContext(WithTx(ctx, tx), m.ID, m.Payload)
		maps.Copy(msg.Metadata, m.Headers)
		return h(msg)
	}
	tick := time.NewTicker(cfg.every)
	defer tick.Stop()
	for {
		if _, err := ib.Replay(ctx, db, handler); err != nil && ctx.Err() == nil {
			cfg.log.Warn("inbox: could not look for parked messages to be retried, trying again", "consumer",
				ib.Consumer(), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
