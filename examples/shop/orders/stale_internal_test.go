package orders

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/shards"
)

// A process that was started before the fifth shard was added gets an order of a customer who has moved there. If it
// acknowledged the message, the order would be lost.
func TestAProcessWithAnOldListOfShardsGivesMessagesBack(t *testing.T) {
	ctx, kafka := t.Context(), kittest.Kafka(t)
	var all []shards.Shard
	for i := range 5 {
		all = append(all, shards.Shard{Name: fmt.Sprintf("orders-%d", i), DB: kittest.Open(t, kittest.SQLite(t))})
	}
	open := func(known []shards.Shard) *Service {
		s, err := New(ctx, Config{Shards: known, OldShards: 4, Kafka: kafka, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		return s
	}
	before, after := open(all[:4]), open(all)
	customer := moveSomebody(t, all, after)
	command := PlaceOrder{Of: events.Of{OrderID: uuid.NewString(), Customer: customer}, Flow: events.Choreographed}
	msg, err := marshaler.Marshal(command)
	require.NoError(t, err)

	const often = 7 // more often than a message that fails is tried
	failed := 0
	deliver(t, before, msg, func(err error) bool {
		require.ErrorIs(t, err, shards.ErrMoved)
		require.ErrorContains(t, err, "list of shards")
		failed++
		return failed == often
	})
	deliver(t, after, msg, func(err error) bool { require.NoError(t, err); return true })
	o, err := after.find(ctx, command.OrderID)
	require.NoError(t, err)
	require.Equal(t, order.Placed, o.Status)
	home, err := after.cluster.Home(ctx, customer)
	require.NoError(t, err)
	require.Equal(t, all[4].Name, home.Name)
}

// moveSomebody returns a customer who has moved to the fifth shard.
func moveSomebody(t *testing.T, all []shards.Shard, s *Service) string {
	t.Helper()
	for i := 0; ; i++ {
		customer := fmt.Sprintf("customer-%d", i)
		from := shards.Owner(all[:4], customer)
		if shards.Owner(all, customer).Name == from.Name {
			continue
		}
		_, err := from.DB.SQL.ExecContext(t.Context(),
			"INSERT INTO shard_customers (customer, state, writes) VALUES (?, 'active', 1)", customer)
		require.NoError(t, err)
		moves, err := s.MoveCustomers(t.Context())
		require.NoError(t, err)
		require.Equal(t, shards.Moves{Moved: 1, Stayed: []shards.Stayed{}}, moves)
		return customer
	}
}

// deliver delivers a message to a service until enough says so.
func deliver(t *testing.T, s *Service, msg *message.Message, enough func(error) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	channel := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
	defer func() { require.NoError(t, channel.Close()) }()
	require.NoError(t, channel.Publish(events.OrderCommands, msg))
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(t, err)
	router.AddMiddleware(func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			produced, err := h(msg)
			if ctx.Err() == nil && enough(err) {
				cancel()
			}
			return produced, err
		}
	}, s.atHome)
	router.AddConsumerHandler("place", events.OrderCommands, channel, func(msg *message.Message) error {
		_, err := handleParked(msg)
		return err
	})
	require.NoError(t, router.Run(ctx))
}

// An operator asks for messages that failed for good: in the shard where the customer lives, and in the one where the
// customer has lived.
func TestParkedMessagesRunWhenAnOperatorAsksForIt(t *testing.T) {
	ctx, kafka := t.Context(), kittest.Kafka(t)
	var all []shards.Shard
	for i := range 5 {
		all = append(all, shards.Shard{Name: fmt.Sprintf("orders-%d", i), DB: kittest.Open(t, kittest.SQLite(t))})
	}
	s, err := New(ctx, Config{Shards: all, OldShards: 4, Kafka: kafka, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	moved := moveSomebody(t, all, s)
	ids, ofMoved := map[string]shards.Shard{}, ""
	for customer, parkedIn := range map[string]shards.Shard{
		moved: shards.Owner(all[:4], moved), "somebody": shards.Owner(all[:4], "somebody"),
	} {
		command := PlaceOrder{Of: events.Of{OrderID: uuid.NewString(), Customer: customer}}
		command.Flow = events.Choreographed
		msg, err := marshaler.Marshal(command)
		require.NoError(t, err)
		ids[command.OrderID] = parkedIn
		if customer == moved {
			ofMoved = command.OrderID
		}
		insert(t, parkedIn.DB, `INSERT INTO inbox_parked (consumer, message_id, topic, event_key, headers, payload,
			error, state) VALUES (?, ?, ?, ?, '{"name":"PlaceOrder"}', ?, ?, 'retry')`,
			shards.Consumer, msg.UUID, "order-commands", command.OrderID, []byte(msg.Payload), "no")
	}
	insert(t, all[0].DB, "INSERT INTO inbox_events (consumer, message_id, processed_at) VALUES (?, ?, ?)",
		shards.Consumer, "long-ago", "2020-01-01T00:00:00.000000Z")

	running := []func(context.Context) error{s.pruneInboxes}
	for _, one := range s.shards {
		running = append(running, s.replayParked(one))
	}
	kittest.Run(t, running...)
	require.Eventually(t, func() bool {
		parked := 0
		for id, in := range ids {
			o, err := s.find(ctx, id)
			if err != nil || o.Status != order.Placed {
				return false // not yet
			}
			var n int
			require.NoError(t, in.DB.SQL.QueryRowContext(ctx, "SELECT COUNT(*) FROM inbox_parked").Scan(&n))
			parked += n
		}
		var old int
		require.NoError(t, all[0].DB.SQL.QueryRowContext(ctx,
			"SELECT COUNT(*) FROM inbox_events WHERE message_id = 'long-ago'").Scan(&old))
		return parked == 0 && old == 0
	}, kittest.Patience, 20*time.Millisecond)
	at := s.shards[shards.Owner(all, moved).Name]
	o, err := at.orders.Load(ctx, at.db.SQL, ofMoved)
	require.NoError(t, err)
	require.EqualValues(t, 1, o.Version, "it is placed in the new shard")
}

func insert(t *testing.T, db *kit.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.SQL.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}
