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
	if err := s.config.Kafka.CreateTopics(ctx, events.OrderCommands); err != nil {
		return err
	}
	log := watermill.NewSlogLogger(s.config.Logger)
	router, err := message.NewRouter(message.RouterConfig{}, log)
	if err != nil {
		return err
	}
	router.AddMiddleware(s.atHome)
	var subscribers []message.Subscriber
	subscribe := func() (message.Subscriber, error) {
		one, err := s.subscriber(log)
		if err == nil {
			subscribers = append(subscribers, one)
		}
		return one, err
	}
	defer func() { // a router that could not start leaves them open
		for _, one := range subscribers {
			_ = one.Close()
		}
	}()
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) {
			return s.config.Kafka.Topic(events.OrderCommands), nil
		},
		SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return subscribe()
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
		subscriber, err := subscribe()
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
	config.Consumer.Group.Session.Timeout, config.Consumer.Group.Heartbeat.Interval = s.config.Kafka.Sessions()
	config.Consumer.Group.Rebalance.Timeout = 2 * config.Consumer.Group.Session.Timeout
	return kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: s.config.Kafka.Brokers, ConsumerGroup: s.group(),
		Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, log)
}

func (s *Service) group() string { return s.config.Kafka.Topic("orders") }

// atHome is a middleware that runs a handler in the database of the order's customer: in a transaction of that
// database, which also notes in its inbox that the message was handled. If the customer moves meanwhile, the handler
// runs in the new shard.
func (s *Service) atHome(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		customer, was := customerOf(msg), ""
		for {
			home, err := s.cluster.Home(msg.Context(), customer)
			if err != nil {
				return nil, err
			}
			if home.Name == was {
				// Another process of the service knows a shard that this one does not. The message goes back to Kafka,
				// until this process is replaced. If it were acknowledged, it would be lost.
				return nil, fmt.Errorf("%w, which is not in this process's list of shards", shards.ErrMoved)
			}
			err = s.shards[home.Name].enter(msg, customer, h)
			if !errors.Is(err, shards.ErrMoved) {
				return nil, err
			}
			was = home.Name
		}
	}
}

// customerOf is whom a message is about. A body that cannot be read belongs to nobody: the handler fails, and the
// message is parked in some shard.
func customerOf(msg *message.Message) string {
	var of events.Of
	_ = json.Unmarshal(msg.Payload, &of)
	return of.Customer
}

// enter runs a handler in this shard, if the customer lives here. If not, the error is shards.ErrMoved, and the inbox
// does not know the message: only the shard that handles it may call it handled.
func (s *shard) enter(msg *message.Message, customer string, h message.HandlerFunc) error {
	own := msg.Context()
	ctx, giveUp := context.WithCancel(own)
	defer func() { giveUp(); msg.SetContext(own) }()
	msg.SetContext(ctx)
	_, err := s.once(func(msg *message.Message) ([]*message.Message, error) {
		err := s.handleHere(msg, customer, h)
		if errors.Is(err, shards.ErrMoved) {
			giveUp() // the inbox does not try again, and does not count an attempt
		}
		return nil, err
	})(msg)
	return err
}

// handleHere runs a handler in the transaction of the message.
func (s *shard) handleHere(msg *message.Message, customer string, h message.HandlerFunc) error {
	ctx := msg.Context()
	if err := shards.Enter(ctx, s.db, inboxwatermill.MustTx(ctx), customer, shards.Message); err != nil {
		return err
	}
	msg.SetContext(context.WithValue(ctx, shardKey{}, s))
	_, err := h(msg)
	return err
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
