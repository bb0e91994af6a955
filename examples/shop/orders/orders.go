// Package orders owns the orders of the shop, event-sourced, in several databases that no other service can open. It
// uses database/sql, and Watermill's Router and CQRS component for what arrives over Kafka.
//
// Its parts, each a small package to read by itself:
//
//   - order: what an order is, and what may happen to it; pure functions.
//   - eventstore: the streams of events, and the outbox in the same transaction.
//   - saga: leads an order through stock and payments, and back; or listens, in a choreographed flow.
//   - shards: which customer lives in which database, and how customers move.
//   - view: the list of all orders, made of their events.
//
// Here they are put together: http.go takes requests, consume.go takes messages, and shard.go is what works on one
// database.
package orders

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/orders/view"
	"github.com/postroom/postroom/examples/shop/rules"
)

// DefaultTimeout is how long a step of the saga waits for its answer, before the command is sent again.
const DefaultTimeout = 10 * time.Second

// Config says where orders lives.
type Config struct {
	// Shards are the databases. Their names must stay the same, and new ones come last.
	Shards []shards.Shard
	// OldShards is how many of Shards there were before the last ones were added, while customers still have to move.
	// Default: all.
	OldShards int
	// MovePatience is how long a move waits for what is under way of a customer. Default: shards.DefaultPatience.
	MovePatience time.Duration
	Kafka        kit.Kafka
	// Timeout is how long a step of the saga waits for its answer. Default: DefaultTimeout.
	Timeout time.Duration
	Rules   *rules.Switches // of the demonstration; nil: all rules are followed
	Logger  *slog.Logger
}

// Service is the orders service. Make it with New.
type Service struct {
	config  Config
	cluster *shards.Cluster
	shards  map[string]*shard // by name
	view    *view.View        // in the first shard's database
	moving  atomic.Bool
}

// New makes the tables in all shards, and the topic of the commands, and returns the service.
func New(ctx context.Context, config Config) (*Service, error) {
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	cluster := shards.New(config.Shards...)
	cluster.Patience = config.MovePatience
	if config.OldShards > len(config.Shards) {
		return nil, fmt.Errorf("there were %d shards, and now there are %d", config.OldShards, len(config.Shards))
	}
	if config.OldShards > 0 {
		cluster.Old = config.OldShards
	}
	s := &Service{config: config, cluster: cluster, shards: map[string]*shard{}}
	for _, one := range config.Shards {
		made, err := newShard(ctx, one, config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		s.shards[one.Name] = made
	}
	if err := cluster.CheckSettled(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.view, err = view.New(ctx, config.Shards[0].DB, config.Kafka, config.Logger); err != nil {
		return nil, err
	}
	return s, nil
}

// Run handles messages until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	parts := []func(context.Context) error{
		kit.Again(s.config.Logger, s.handleMessages), s.pruneInboxes, s.view.Run,
	}
	for _, one := range s.shards {
		parts = append(parts, one.copyCustomers, one.tidyCustomers, s.replayParked(one))
	}
	return kit.Run(ctx, parts...)
}

// MoveCustomers moves the customers that the added shards have won. Call it again until nobody has stayed; then start
// the service without OldShards.
func (s *Service) MoveCustomers(ctx context.Context) (shards.Moves, error) {
	if !s.moving.CompareAndSwap(false, true) {
		return shards.Moves{}, &kit.Problem{
			Status: http.StatusConflict, Type: "/problems/moving", Title: "Customers move already",
			Detail: "another request moves them; ask again when it has its answer",
		}
	}
	defer s.moving.Store(false)
	return s.cluster.MoveAll(ctx)
}
