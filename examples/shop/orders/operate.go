package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/inbox/inboxwatermill"
)

// keepIDs is how long the ids of handled messages are kept, at least.
const keepIDs = 7 * 24 * time.Hour

// pruneInboxes deletes old ids of messages in all shards.
func (s *Service) pruneInboxes(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.config.Kafka.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	retention := inbox.Retention{PruneOptions: inbox.PruneOptions{
		Retention: keepIDs, Committed: inboxkafka.Committed(client, s.group()),
	}}
	parts := make([]func(context.Context) error, 0, len(s.shards))
	for _, one := range s.shards {
		parts = append(parts, func(ctx context.Context) error {
			return one.inbox.KeepPruned(ctx, one.db.SQL, retention)
		})
	}
	return kit.Run(ctx, parts...)
}

// replayParked runs the messages that a shard has parked, when an operator asks for it: relay inbox parked retry.
func (s *Service) replayParked(at *shard) func(context.Context) error {
	handle := func(msg *message.Message) error {
		customer := customerOf(msg)
		err := at.handleHere(msg, customer, handleParked)
		if home := s.shards[shards.Owner(s.cluster.All, customer).Name]; errors.Is(err, shards.ErrMoved) && home != at {
			// Home commits first. If the process dies then, the message is still parked here, and home knows it.
			return home.enter(msg, customer, handleParked)
		}
		return err
	}
	return func(ctx context.Context) error {
		return inboxwatermill.Replay(ctx, at.inbox, at.db.SQL, handle, inboxwatermill.WithReplayLogger(at.log))
	}
}

// handleParked is the router for messages that were parked.
func handleParked(msg *message.Message) ([]*message.Message, error) {
	if msg.Metadata.Get("name") != marshaler.Name(PlaceOrder{}) {
		return nil, answer(msg)
	}
	var command PlaceOrder
	if err := json.Unmarshal(msg.Payload, &command); err != nil {
		return nil, fmt.Errorf("read a command: %w", err)
	}
	return nil, placeOrder(cqrs.CtxWithOriginalMessage(msg.Context(), msg), &command)
}

// reachWithin is how long a database has to answer before it counts as down.
const reachWithin = 2 * time.Second

// problemOf tells a client that the shard is down, if it is. Customers of other shards are served.
func (s *shard) problemOf(ctx context.Context, err error) error {
	var problem *kit.Problem
	if errors.As(err, &problem) {
		return err
	}
	ping, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if s.db.SQL.PingContext(ping) == nil || ctx.Err() != nil {
		return err
	}
	s.log.ErrorContext(ctx, "the database does not answer", "error", err)
	return &kit.Problem{
		Status: http.StatusServiceUnavailable, Type: "/problems/shard-down", Title: "A database is down",
		Detail: "The database with these orders does not answer. Try again with the same Idempotency-Key.",
	}
}

// ShardStatus is what a shard has.
type ShardStatus struct {
	Name string `json:"name"`
	shards.Counts
	Problem string `json:"problem,omitempty"`
}

func (s *Service) getShards(w http.ResponseWriter, r *http.Request) error {
	all := make([]ShardStatus, len(s.cluster.All))
	for i, one := range s.cluster.All {
		all[i].Name = one.Name
		var err error
		if all[i].Counts, err = shards.Count(r.Context(), one.DB); err != nil {
			s.shards[one.Name].log.WarnContext(r.Context(), "cannot count", "error", err)
			all[i].Problem = "the database does not answer"
		}
	}
	return kit.WriteJSON(w, http.StatusOK, map[string]any{"old_shards": s.cluster.Old, "shards": all})
}

func (s *Service) moveCustomers(w http.ResponseWriter, r *http.Request) error {
	moves, err := s.MoveCustomers(r.Context())
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, moves)
}

func (s *Service) rebuildView(w http.ResponseWriter, r *http.Request) error {
	number, err := s.view.Rebuild(r.Context())
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusAccepted, map[string]int{"building": number})
}

func (s *Service) getView(w http.ResponseWriter, r *http.Request) error {
	lists, err := s.view.Lists(r.Context())
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, lists)
}
