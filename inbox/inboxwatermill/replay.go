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

// DefaultReplayEvery is the time between two searches of Replay for requests.
const DefaultReplayEvery = time.Second

// ReplayOption changes a default of Replay.
type ReplayOption func(*replayConfig)

type replayConfig struct {
	every time.Duration
	log   *slog.Logger
}

// WithReplayEvery sets the time between two searches of Replay for requests. It must be positive. Default:
// DefaultReplayEvery.
func WithReplayEvery(d time.Duration) ReplayOption { return func(c *replayConfig) { c.every = d } }

// WithReplayLogger sets the logger for errors of the database. Default: slog.Default().
func WithReplayLogger(log *slog.Logger) ReplayOption { return func(c *replayConfig) { c.log = log } }

// Replay does what operators request with `relay inbox parked retry` and `drop`, until ctx ends. Then it returns nil.
// Run it beside the router that uses Middleware, with the same inbox and handler, in any number of processes:
//
//	g, ctx := errgroup.WithContext(ctx)
//	g.Go(func() error { return router.Run(ctx) })
//	g.Go(func() error { return inboxwatermill.Replay(ctx, ib, db, handle) })
//	return g.Wait()
//
// The handler gets a message with the id of the parked message as UUID, the metadata, the payload, and the transaction
// in the context. The context has no values of the broker. The messages of a key are handled in order. The middlewares
// of the router do not run: wrap h in those that you need. There is no publisher, so a handler must write events to an
// outbox in the transaction.
//
// Errors of the database are logged, and do not end Replay.
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
			cfg.log.Warn("inbox: cannot retry parked messages, trying again", "consumer",
				ib.Consumer(), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
