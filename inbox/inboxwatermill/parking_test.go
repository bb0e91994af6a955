package inboxwatermill_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillkafka"
	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/parked"
)

// poisoned is a handler that fails for the messages with the metadata "poison".
func poisoned(msg *message.Message) error {
	if msg.Metadata.Get("poison") != "" {
		return errHandler
	}
	return leaveOwnEffect(msg)
}

// replaying runs Replay until the test ends.
func replaying(t *testing.T, ib *inbox.Inbox, db dbtest.Database, h message.NoPublishHandlerFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := inboxwatermill.Replay(ctx, ib, db.DB, h,
			inboxwatermill.WithReplayEvery(10*time.Millisecond)); err != nil {
			t.Errorf("replay: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func parkedStore(t *testing.T, d dbtest.Database) *parked.Store {
	t.Helper()
	s, err := parked.Inbox(d.DB, sqldb.Names{Dialect: d.Dialect})
	require.NoError(t, err)
	return s
}

func parkedOf(t *testing.T, db dbtest.Database) []parked.Entry {
	t.Helper()
	entries, _, err := parkedStore(t, db).List(t.Context(), parked.Filter{}, 100)
	require.NoError(t, err)
	return entries
}

func askFor(t *testing.T, db dbtest.Database, state string) {
	t.Helper()
	_, err := parkedStore(t, db).Request(t.Context(), parked.Request{State: state, Reason: "a test"})
	require.NoError(t, err)
}

func TestAPoisonMessageIsParkedWhileTheRestFlowAndRunsWhenAnOperatorAsks(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		const messages = 10
		db, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
		sent := copies(messages, 1)
		poison := sent[3]
		poison.Metadata.Set("poison", "yes")
		poison.Metadata.Set("name", "order.placed")
		b.publish(t, sent...)
		seen := newTally()
		router := newRouter(t)
		router.AddConsumerHandler("billing", b.topic, b.subscribe(t), poisoned).AddMiddleware(seen.losingAcks(0),
			inboxwatermill.Middleware(ib, db.DB, inboxwatermill.WithPosition(watermillkafka.Position),
				inboxwatermill.OnOutcome(seen.outcome)))
		start(t, router)
		seen.waitForAcks(t, messages)
		requireEachOnce(t, db, messages-1)
		require.Equal(t, 1, seen.count(inbox.Parked))
		rows := parkedOf(t, db)
		require.Len(t, rows, 1)
		e := rows[0]
		require.Equal(t, []string{poison.UUID, b.topic, "order.placed", "failed"},
			[]string{e.ID, e.Topic, e.Type, e.State})
		require.Contains(t, e.Error, errHandler.Error())
		require.Equal(t, 2, e.Attempts)
		require.Equal(t, b.kind == "kafka", e.Position != nil)

		replayed := make(chan *message.Message, 1)
		replaying(t, ib, db, func(msg *message.Message) error {
			replayed <- msg
			return leaveOwnEffect(msg)
		})
		askFor(t, db, sqldb.ParkedRetry)
		msg := <-replayed
		require.Equal(t, poison.UUID, msg.UUID)
		require.Equal(t, poison.Payload, msg.Payload)
		require.Equal(t, "order.placed", msg.Metadata.Get("name"))
		require.Eventually(t, func() bool { return len(parkedOf(t, db)) == 0 }, patience, 20*time.Millisecond)
		requireEachOnce(t, db, messages)
	})
}

func TestMessagesOfAParkedOnesKeyFollowItInOrder(t *testing.T) {
	each(t, func(t *testing.T, db dbtest.Database, ib *inbox.Inbox) {
		key := func(msg *message.Message) string { return msg.Metadata.Get("key") }
		topic := func(*message.Message) string { return "orders" }
		var ran []string
		h := inboxwatermill.Middleware(ib, db.DB, inboxwatermill.WithKey(key), inboxwatermill.WithTopic(topic))(
			func(msg *message.Message) ([]*message.Message, error) {
				if msg.UUID == "a1" {
					return nil, errHandler
				}
				ran = append(ran, msg.UUID)
				return nil, nil
			})
		for _, id := range []string{"a1", "a2", "b1", "a3"} {
			msg := message.NewMessage(id, []byte(id))
			msg.Metadata.Set("key", id[:1])
			_, err := h(msg)
			require.NoError(t, err, "parked is acknowledged")
		}
		require.Equal(t, []string{"b1"}, ran)

		var mu sync.Mutex
		var again []string
		replaying(t, ib, db, func(msg *message.Message) error {
			mu.Lock()
			defer mu.Unlock()
			again = append(again, msg.UUID+" "+string(msg.Payload)+" "+key(msg))
			return nil
		})
		askFor(t, db, sqldb.ParkedRetry)
		require.Eventually(t, func() bool { return len(parkedOf(t, db)) == 0 }, patience, 20*time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"a1 a1 a", "a2 a2 a", "a3 a3 a"}, again)
	})
}

// batching runs RunBatch until the test ends, and returns what it saw.
func batching(t *testing.T, b broker, db dbtest.Database, ib *inbox.Inbox, sub message.Subscriber,
	config inboxwatermill.BatchConfig, seen *tally) func() (largest int) {
	t.Helper()
	var mu sync.Mutex
	largest := 0
	handle := func(ctx context.Context, msgs []*message.Message) error {
		mu.Lock()
		largest = max(largest, len(msgs))
		mu.Unlock()
		for _, msg := range msgs {
			if err := poisoned(msg); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		err := inboxwatermill.RunBatch(ctx, ib, db.DB, sub, b.topic, handle, config,
			inboxwatermill.WithPosition(watermillkafka.PositionIn(b.topic)),
			inboxwatermill.OnOutcome(func(msg *message.Message, outcome inbox.Outcome, err error) {
				seen.outcome(msg, outcome, err)
				if outcome != inbox.Failed {
					seen.mu.Lock()
					defer seen.mu.Unlock()
					seen.acked[msg.UUID+" "+msg.Metadata.Get("copy")] = true
				}
			}))
		if err != nil {
			t.Errorf("run batch: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return largest
	}
}

func TestABatchIsAppliedOnceAndItsPoisonMessageParked(t *testing.T) {
	eachBroker(t, func(t *testing.T, b broker) {
		const messages = 30
		db, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
		sent := copies(messages, 2)
		for _, msg := range sent[6:8] { // two copies of one
			msg.Metadata.Set("poison", "yes")
		}
		b.publish(t, sent...)
		seen := newTally()
		config := inboxwatermill.BatchConfig{Wait: 50 * time.Millisecond}
		if b.kind == "amqp" {
			config.Subscriptions = 8
		}
		largest := batching(t, b, db, ib, b.subscribe(t), config, seen)
		seen.waitForAcks(t, 2*messages)
		requireEachOnce(t, db, messages-1)
		require.Equal(t, 1, seen.count(inbox.Parked))
		require.Greater(t, largest(), 1, "RabbitMQ by its subscriptions, Kafka by its partitions")
	})
}

// This is why RunBatch subscribes several times: were it to fail, one would do.
func TestOneSubscriptionOfRabbitMQHoldsOneMessageWhateverThePrefetch(t *testing.T) {
	b := broker{"amqp", dbtest.AMQP(t), dbtest.Queue(t)}
	db, ib := database(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	b.publish(t, copies(5, 1)...)
	config := b.amqp()
	config.Consume.Qos.PrefetchCount = 50
	subscriber, err := amqp.NewSubscriber(config, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
	seen := newTally()
	largest := batching(t, b, db, ib, subscriber, inboxwatermill.BatchConfig{Wait: 100 * time.Millisecond}, seen)
	seen.waitForAcks(t, 5)
	require.Equal(t, 1, largest())
}

func TestABatchOptionThatMakesNoSenseIsRefused(t *testing.T) {
	db, ib := onSQLite(t)
	for want, config := range map[string]inboxwatermill.BatchConfig{
		"Size is -1": {Size: -1}, "Wait is -1ns": {Wait: -1}, "Subscriptions is -1": {Subscriptions: -1},
		"Size is 10001": {Size: inbox.MaxBatch + 1},
	} {
		require.ErrorContains(t, inboxwatermill.RunBatch(t.Context(), ib, db, nil, "orders", nil, config), want)
	}
}

// listed is a subscriber that delivers what it has, each message once, before any is acknowledged.
type listed []*message.Message

func (l listed) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	out := make(chan *message.Message, len(l))
	for _, msg := range l {
		out <- msg
	}
	close(out)
	return out, nil
}

func (l listed) Close() error { return nil }

type silent struct{ listed }

func (silent) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return nil, errors.New("no such queue")
}

func TestAMessageWithoutAnIDKeepsNoOtherOfItsBatchFromBeingHandled(t *testing.T) {
	db, ib := onSQLite(t)
	batch := listed{message.NewMessage("m1", nil), message.NewMessage("", nil), message.NewMessage("m2", nil)}
	handle := func(_ context.Context, msgs []*message.Message) error {
		for _, msg := range msgs {
			if err := leaveOwnEffect(msg); err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, inboxwatermill.RunBatch(t.Context(), ib, db, batch, "orders", handle, quiet))
	require.Equal(t, 2, effects(t, db))
	<-batch[0].Acked()
	<-batch[1].Nacked()
	<-batch[2].Acked()
	require.ErrorContains(t, inboxwatermill.RunBatch(
		t.Context(), ib, db, silent{}, "orders", handle, inboxwatermill.BatchConfig{}), "no such queue")
}

// Competing consumers: what one left unfinished is no reason for the other to run messages one
// by one; it is one for itself, once it is back.
func TestConsumersThatCompeteHaveUnfinishedBatchesOfTheirOwn(t *testing.T) {
	db, ib := onSQLite(t)
	died := make(chan struct{})
	run := func(lane string, sub message.Subscriber, handle inboxwatermill.BatchHandlerFunc) {
		err := inboxwatermill.RunBatch(context.WithoutCancel(t.Context()), ib, db, sub, "orders", handle,
			inboxwatermill.BatchConfig{Worker: lane})
		require.NoError(t, err)
	}
	go func() {
		defer close(died)
		first := true
		run("a", listed{message.NewMessage("m0", nil), message.NewMessage("m1", nil), message.NewMessage("m2", nil)},
			func(context.Context, []*message.Message) error {
				if !first {
					runtime.Goexit()
				}
				first = false
				return nil
			})
	}()
	<-died
	sizes := func(lane string, ids ...string) (sizes []int) {
		var sub listed
		for _, id := range ids {
			sub = append(sub, message.NewMessage(id, nil))
		}
		run(lane, sub, func(_ context.Context, msgs []*message.Message) error {
			sizes = append(sizes, len(msgs))
			return nil
		})
		return sizes
	}
	require.Equal(t, []int{1, 2}, sizes("b", "m3", "m4", "m5"),
		"the first alone: does the handler leave the transaction alone?")
	require.Equal(t, []int{1, 1, 1}, sizes("a", "m1", "m2", "m6"), "the last is what is left of the batch")
}
