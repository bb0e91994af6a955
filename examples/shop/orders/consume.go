package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/saga"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
)

// handleMessages runs Watermill's Router until ctx ends: the command processor gets commands, answer what other
// services say.
func (s *Service) handleMessages(ctx context.Context) error {
	log := watermill.NewSlogLogger(s.config.Logger)
	router, err := message.NewRouter(message.RouterConfig{}, log)
	if err != nil {
		return err
	}
	router.AddMiddleware(s.atHome)
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) {
			return s.config.Kafka.Topic(events.OrderCommands), nil
		},
		SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return s.subscriber(log)
		},
		Marshaler: marshaler,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	if err := processor.AddHandlers(cqrs.NewCommandHandler("place-order", placeOrder)); err != nil {
		return err
	}
	for _, topic := range []string{events.Stock, events.Payments, events.OrderTimeouts} {
		subscriber, err := s.subscriber(log)
		if err != nil {
			return err
		}
		router.AddConsumerHandler("answers-of-"+topic, s.config.Kafka.Topic(topic), subscriber, answer)
	}
	return router.Run(ctx)
}

func (s *Service) subscriber(log watermill.LoggerAdapter) (message.Subscriber, error) {
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest // a new group misses nothing
	return kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: s.config.Kafka.Brokers, ConsumerGroup: s.config.Kafka.Topic("orders"),
		Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, log)
}

// atHome is a middleware that runs a handler in the database of the order's customer: in a transaction of that
// database, which also notes in its inbox that the message was handled.
func (s *Service) atHome(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		var of events.Of
		// A body that cannot be read belongs to nobody. The handler fails, and the message is parked in some shard.
		_ = json.Unmarshal(msg.Payload, &of)
		for {
			home, err := s.cluster.Home(msg.Context(), of.Customer)
			if err != nil {
				return nil, err
			}
			at := s.shards[home.Name]
			moved := false
			_, err = at.once(func(msg *message.Message) ([]*message.Message, error) {
				ctx := msg.Context()
				err := shards.Enter(ctx, at.db, inboxwatermill.MustTx(ctx), of.Customer, shards.Message)
				if moved = errors.Is(err, shards.ErrMoved); moved {
					return nil, nil // handled here, as far as this shard is concerned; the next one has it to do
				}
				if err != nil {
					return nil, err
				}
				msg.SetContext(context.WithValue(ctx, shardKey{}, at))
				return h(msg)
			})(msg)
			if err != nil || !moved {
				return nil, err
			}
		}
	}
}

type shardKey struct{}

// shardOf returns the shard that atHome has chosen.
func shardOf(ctx context.Context) *shard { return ctx.Value(shardKey{}).(*shard) }

// PlaceOrder is the command that a POST becomes.
type PlaceOrder struct {
	events.Of
	Flow  events.Flow   `json:"flow"`
	Items []events.Item `json:"items"`
	Cents int64         `json:"cents"`
}

var marshaler = cqrs.JSONMarshaler{GenerateName: cqrs.StructName}

// placeOrder begins an order. It runs once for each command, and a copy that the inbox does not know, because the
// customer has moved meanwhile, finds the order there.
func placeOrder(ctx context.Context, command *PlaceOrder) error {
	s, tx, cause := shardOf(ctx), inboxwatermill.MustTx(ctx), causeOf(cqrs.OriginalMessageFromCtx(ctx))
	placed := false
	o, err := s.orders.Change(ctx, tx, command.OrderID, 0, cause, func(o order.Order) ([]eventstore.Event, error) {
		placed = o.Version == 0
		return order.Place(o, events.OrderPlaced{
			Of: command.Of, Flow: command.Flow, Items: command.Items, Cents: command.Cents,
		})
	})
	if err != nil || !placed || command.Flow == events.Choreographed {
		return err
	}
	return s.saga.Start(ctx, tx, o, cause)
}

// answer moves an order on by what stock or payments said, or because they said nothing in time.
func answer(msg *message.Message) error {
	ctx := msg.Context()
	var body struct {
		events.Of
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(msg.Payload, &body); err != nil {
		return fmt.Errorf("read the body of a %s: %w", msg.Metadata.Get("name"), err)
	}
	m := saga.Message{Of: body.Of, Type: msg.Metadata.Get("name"), Reason: body.Reason, Cause: causeOf(msg)}
	s, tx := shardOf(ctx), inboxwatermill.MustTx(ctx)
	if err := s.saga.Handle(ctx, tx, m); err != nil {
		return err
	}
	return saga.React(ctx, tx, s.orders, m)
}

// causeOf is what an event has to tell of the message that it answers.
func causeOf(msg *message.Message) inbox.Message {
	return inbox.Message{ID: msg.UUID, Headers: msg.Metadata}
}
