package inboxwatermill_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// patience bounds every wait of these tests: the machine may be busy.
const patience = 60 * time.Second

// broker is a real one with a topic, or queue, of the test's own.
type broker struct {
	kind, address, topic string
}

// eachBroker runs fn against RabbitMQ and Kafka.
func eachBroker(t *testing.T, fn func(t *testing.T, b broker)) {
	t.Run("amqp", func(t *testing.T) { fn(t, broker{"amqp", dbtest.AMQP(t), dbtest.Queue(t)}) })
	t.Run("kafka", func(t *testing.T) {
		address := dbtest.Kafka(t)
		fn(t, broker{"kafka", address, dbtest.Topic(t, 4)})
	})
}

func (b broker) amqp() amqp.Config {
	config := amqp.NewDurableQueueConfig(b.address)
	config.Marshaler = watermillamqp.Marshaler{}
	config.Queue.Arguments = map[string]any{"x-expires": int32(2 * patience / time.Millisecond)} // nobody deletes it
	return config
}

// subscriber returns a consumer of the topic: one of the queue's, or a member of the topic's group.
func (b broker) subscriber() (message.Subscriber, error) {
	if b.kind == "amqp" {
		return amqp.NewSubscriber(b.amqp(), watermill.NopLogger{})
	}
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = -2                    // the oldest
	config.Consumer.Group.Session.Timeout = 6 * time.Second // the least that the broker takes: a member is killed
	return kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: strings.Split(b.address, ","), ConsumerGroup: b.topic, Unmarshaler: kafka.DefaultMarshaler{},
		OverwriteSaramaConfig: config, NackResendSleep: time.Millisecond,
	}, watermill.NopLogger{})
}

// subscribe is subscriber until the test ends; a router does not close what it was given in every case.
func (b broker) subscribe(t *testing.T) message.Subscriber {
	t.Helper()
	subscriber, err := b.subscriber()
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := subscriber.Close(); err != nil {
			t.Errorf("close the subscriber: %v", err)
		}
	})
	return subscriber
}

// publish sends messages; on RabbitMQ the queue must be there, or they go nowhere.
func (b broker) publish(t *testing.T, messages ...*message.Message) {
	t.Helper()
	var publisher message.Publisher
	var err error
	if b.kind == "amqp" {
		declare, failed := amqp.NewSubscriber(b.amqp(), watermill.NopLogger{})
		require.NoError(t, failed)
		require.NoError(t, declare.SubscribeInitialize(b.topic))
		require.NoError(t, declare.Close())
		publisher, err = amqp.NewPublisher(b.amqp(), watermill.NopLogger{})
	} else {
		publisher, err = kafka.NewPublisher(kafka.PublisherConfig{
			Brokers: strings.Split(b.address, ","), Marshaler: kafka.DefaultMarshaler{},
		}, watermill.NopLogger{})
	}
	require.NoError(t, err)
	require.NoError(t, publisher.Publish(b.topic, messages...))
	require.NoError(t, publisher.Close())
}

// tally is what several consumers have seen.
type tally struct {
	mu       sync.Mutex
	outcomes map[inbox.Outcome]int
	acked    map[string]bool // ids of deliveries that were acknowledged, with the number of the copy
}

func newTally() *tally { return &tally{outcomes: map[inbox.Outcome]int{}, acked: map[string]bool{}} }

func (c *tally) outcome(_ *message.Message, outcome inbox.Outcome, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[outcome]++
}

func (c *tally) count(outcome inbox.Outcome) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcomes[outcome]
}

func (c *tally) waitForAcks(t *testing.T, deliveries int) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked) == deliveries
	}, patience, 20*time.Millisecond)
}

// losingAcks is a middleware around the inbox's whose first delivery of every third copy is
// Nacked after the commit, and which notes the others.
func (c *tally) losingAcks(every int) message.HandlerMiddleware {
	lost := map[string]bool{}
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			produced, err := h(msg)
			c.mu.Lock()
			defer c.mu.Unlock()
			copied := msg.UUID + " " + msg.Metadata.Get("copy")
			if err == nil && every > 0 && !lost[copied] {
				lost[copied] = true
				if len(lost)%every == 0 {
					return nil, errHandler
				}
			}
			if err == nil {
				c.acked[copied] = true
			}
			return produced, err
		}
	}
}

// leaveOwnEffect writes the message's id in the transaction of its context.
func leaveOwnEffect(msg *message.Message) error {
	_, err := inboxwatermill.MustTx(msg.Context()).ExecContext(msg.Context(), "INSERT INTO effects VALUES ($1)",
		msg.UUID)
	return err
}

func requireEachOnce(t *testing.T, db dbtest.Database, messages int) {
	t.Helper()
	var rows, ids int
	require.NoError(t, db.DB.QueryRowContext(t.Context(),
		"SELECT count(*), count(DISTINCT message_id) FROM effects").Scan(&rows, &ids))
	require.Equal(t, []int{messages, messages}, []int{rows, ids})
}

// copies returns messages, each of them so often.
func copies(messages, of int) (all []*message.Message) {
	for range messages {
		id := watermill.NewUUID()
		for n := range of {
			msg := message.NewMessage(id, []byte(`{"amount": 1}`))
			msg.Metadata.Set("copy", fmt.Sprint(n))
			all = append(all, msg)
		}
	}
	return all
}

// Every message comes twice, some deliveries a second time after a Nack, to three consumers at once.
func TestCompetingConsumersApplyEachMessageOnce(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		const messages = 40
		db, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
		b.publish(t, copies(messages, 2)...)
		seen := newTally()
		losing := seen.losingAcks(3)
		for range 3 {
			subscriber := b.subscribe(t)
			router := newRouter(t)
			router.AddConsumerHandler("billing", b.topic, subscriber, leaveOwnEffect).AddMiddleware(losing,
				inboxwatermill.Middleware(ib, db.DB, inboxwatermill.OnOutcome(seen.outcome)))
			start(t, router)
		}
		seen.waitForAcks(t, 2*messages)
		requireEachOnce(t, db, messages)
		require.Equal(t, messages, seen.count(inbox.Applied))
		require.GreaterOrEqual(t, seen.count(inbox.Duplicate), messages+messages/3,
			"copies, and those whose acknowledgement was lost")
	})
}

// Names of the environment in which the test binary is a consumer that kills itself.
const (
	envCrash         = "INBOXWATERMILL_TEST_CRASH" // kind, address and topic
	envCrashDatabase = "INBOXWATERMILL_TEST_CRASH_DATABASE"
)

// crashAfterThreeCommits consumes until the third message has committed, and dies before it is acknowledged.
func crashAfterThreeCommits(b broker, databaseURL string) error {
	target, err := dbopen.Open(context.Background(), databaseURL)
	if err != nil {
		return err
	}
	ib, err := inbox.New(target.Dialect, "billing")
	if err != nil {
		return err
	}
	subscriber, err := b.subscriber()
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	commits := 0
	router.AddConsumerHandler("billing", b.topic, subscriber, leaveOwnEffect).AddMiddleware(
		inboxwatermill.Middleware(ib, target.DB,
			inboxwatermill.OnOutcome(func(*message.Message, inbox.Outcome, error) {
				mu.Lock() // and never unlocked by the third: no other is acknowledged behind it
				if commits++; commits < 3 {
					mu.Unlock()
					return
				}
				if self, err := os.FindProcess(os.Getpid()); err == nil {
					_ = self.Kill()
				}
				select {}
			})))
	return router.Run(context.Background())
}

func TestAConsumerThatIsKilledBeforeTheAcknowledgementAppliesNothingTwice(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		const messages = 12
		db, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
		b.publish(t, copies(messages, 1)...)

		self, err := os.Executable()
		require.NoError(t, err)
		consumer := exec.CommandContext(t.Context(), self, "-test.run=^$")
		consumer.Env = append(os.Environ(), envCrash+"="+b.kind+" "+b.address+" "+b.topic, envCrashDatabase+"="+db.URL)
		out, err := consumer.CombinedOutput()
		var killed *exec.ExitError
		require.ErrorAs(t, err, &killed)
		require.False(t, killed.Exited() && killed.ExitCode() == 2, "it was to be killed: %s", out)
		require.GreaterOrEqual(t, effects(t, db.DB), 3, "%s", out)

		seen := newTally()
		subscriber := b.subscribe(t)
		router := newRouter(t)
		router.AddConsumerHandler("billing", b.topic, subscriber, leaveOwnEffect).AddMiddleware(seen.losingAcks(0),
			inboxwatermill.Middleware(ib, db.DB, inboxwatermill.OnOutcome(seen.outcome)))
		start(t, router)
		require.Eventually(t, func() bool { return effects(t, db.DB) == messages && seen.count(inbox.Duplicate) > 0 },
			patience, 20*time.Millisecond, "the third is delivered again, and is a duplicate")
		requireEachOnce(t, db, messages)
	})
}
