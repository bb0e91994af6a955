package inboxwatermill_test

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// start runs a router until the test ends. Handlers are added before.
func start(t *testing.T, router *message.Router) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := router.Run(ctx); err != nil {
			t.Errorf("router: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	<-router.Running()
}

func newRouter(t *testing.T) *message.Router {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	require.NoError(t, err)
	return router
}

func TestARouterRedeliversUntilTheMessageIsApplied(t *testing.T) {
	db, ib := onSQLite(t)
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	defer pubsub.Close()
	router := newRouter(t)
	applied := make(chan struct{})
	var runs atomic.Int64
	router.AddConsumerHandler("billing", "orders", pubsub, func(msg *message.Message) error {
		if err := leaveEffect(msg); err != nil {
			return err
		}
		if runs.Add(1) < 5 { // two attempts each, so the third delivery succeeds
			return errHandler
		}
		return nil
		// not parked
	}).AddMiddleware(inboxwatermill.Middleware(ib, db,
		inboxwatermill.WithTopic(func(*message.Message) string { return "" }),
		inboxwatermill.OnOutcome(func(_ *message.Message, outcome inbox.Outcome, _ error) {
			if outcome == inbox.Applied {
				close(applied)
			}
		})))
	start(t, router)
	require.NoError(t, pubsub.Publish("orders", message.NewMessage(watermill.NewUUID(), nil)))
	<-applied
	require.Equal(t, int64(5), runs.Load())
	require.Equal(t, 1, effects(t, db))
}

type orderPlaced struct{ ID string }

func TestCQRSHandlersFindTheTransactionInTheirContext(t *testing.T) {
	db, ib := onSQLite(t)
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	defer pubsub.Close()
	router := newRouter(t)
	outcomes := make(chan inbox.Outcome, 10)
	router.AddMiddleware(inboxwatermill.Middleware(
		ib, db, inboxwatermill.OnOutcome(func(_ *message.Message, outcome inbox.Outcome, err error) {
			outcomes <- outcome
		})))
	processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.EventProcessorGenerateSubscribeTopicParams) (
			string, error) {
			return "events", nil
		},
		SubscriberConstructor: func(cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return pubsub, nil
		},
		Marshaler: cqrs.JSONMarshaler{},
	})
	require.NoError(t, err)
	require.NoError(t, processor.AddHandlers(cqrs.NewEventHandler(
		"billing", func(ctx context.Context, event *orderPlaced) error {
			_, err := inboxwatermill.MustTx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (?)", event.ID)
			return err
		})))
	start(t, router)

	msg, err := cqrs.JSONMarshaler{}.Marshal(orderPlaced{ID: "order 1"})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, pubsub.Publish("events", msg.Copy()))
	}
	require.ElementsMatch(t, []inbox.Outcome{inbox.Applied, inbox.Duplicate}, []inbox.Outcome{<-outcomes, <-outcomes})
	require.Equal(t, 1, effects(t, db))
}

// Messages of a stock watermill-kafka publisher, through a real broker, each sent twice.
func TestMessagesOfAStockWatermillKafkaPublisherTakeEffectOnce(t *testing.T) {
	const messages = 20
	brokers := strings.Split(dbtest.Kafka(t), ",")
	topic := dbtest.Topic(t, 2)
	full, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	db := full.DB

	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{Brokers: brokers, Marshaler: kafka.DefaultMarshaler{}},
		watermill.NopLogger{})
	require.NoError(t, err)
	defer publisher.Close()
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = -2 // the oldest
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: brokers, ConsumerGroup: topic, Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	require.NoError(t, err)

	router := newRouter(t)
	outcomes := make(chan inbox.Outcome, 2*messages)
	router.AddConsumerHandler("billing", topic, subscriber, leaveEffect).AddMiddleware(inboxwatermill.Middleware(ib, db,
		inboxwatermill.WithPosition(watermillkafka.Position),
		inboxwatermill.OnOutcome(func(_ *message.Message, outcome inbox.Outcome, err error) {
			outcomes <- outcome
		})))
	start(t, router)
	for range messages {
		msg := message.NewMessage(watermill.NewUUID(), []byte("{}"))
		require.NoError(t, publisher.Publish(topic, msg, msg.Copy()))
	}
	counts := map[inbox.Outcome]int{}
	for range 2 * messages {
		counts[<-outcomes]++
	}
	require.Equal(t, map[inbox.Outcome]int{inbox.Applied: messages, inbox.Duplicate: messages}, counts)
	require.Equal(t, messages, effects(t, db))
	requirePositions(t, db, topic, messages)
}

func requirePositions(t *testing.T, db *sql.DB, topic string, messages int) {
	t.Helper()
	var rows, positions int
	query := "SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset)) FROM inbox_events " +
		"WHERE kafka_topic = $1 AND kafka_offset >= 0"
	require.NoError(t, db.QueryRowContext(t.Context(), query, topic).Scan(&rows, &positions))
	require.Equal(t, messages, rows)
	require.Equal(t, messages, positions)
}
