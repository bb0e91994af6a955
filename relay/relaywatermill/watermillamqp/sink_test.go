package watermillamqp

import (
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	consumer "github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

// The broker rejects because no queue is bound, and the outage is a network that stops, because other tests
// use the server too.
func TestSinkKeepsTheRelaysPromisesOnARealRabbitMQ(t *testing.T) {
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		far, network := newFar(t), newProxy(t)
		return relaytest.Target{
			Sink:      newSink(t, Config{URL: network.url, Buffer: 500}),
			Topics:    [2]string{far.fanout(t), far.fanout(t)},
			Published: far.published,
			Refuse: func(t testing.TB, topic string) func() {
				require.NoError(t, far.ch.QueueUnbind(topic, "", topic, nil))
				return func() { far.bind(t, topic, "") }
			},
			Outage:   func(testing.TB) func() { return network.stand() },
			Rejects:  true,
			Buffer:   500,
			Patience: patience,
		}
	})
}

func TestAStockSubscriberReadsTheRecords(t *testing.T) {
	config := amqp.NewDurablePubSubConfig(dbtest.AMQP(t), amqp.GenerateQueueNameTopicName)
	config.Queue.Arguments = amqp091.Table{"x-expires": int32(time.Minute / time.Millisecond)}
	config.Exchange.AutoDeleted = true
	for _, marshaler := range []amqp.Marshaler{amqp.DefaultMarshaler{}, consumer.Marshaler{}} {
		config.Marshaler = marshaler
		topic := dbtest.Queue(t)
		subscriber, err := amqp.NewSubscriber(config, watermill.NopLogger{})
		require.NoError(t, err)
		messages, err := subscriber.Subscribe(t.Context(), topic)
		require.NoError(t, err)
		r := record(1, topic, "customer-42", []byte("body"))
		r.Headers = []byte(`{"tenant":"blue"}`)
		require.NoError(t, deliver(t, newSink(t, Config{URL: dbtest.AMQP(t)}), r)[0])
		select {
		case msg := <-messages:
			msg.Ack()
			require.Equal(t, r.EventID.String(), msg.UUID)
			require.Equal(t, "body", string(msg.Payload))
			require.Equal(t, "blue", msg.Metadata.Get("tenant"))
			require.Equal(t, "t", msg.Metadata.Get("name"))
			if _, ours := marshaler.(consumer.Marshaler); ours {
				require.Equal(t, "customer-42", consumer.Key(msg))
			}
		case <-time.After(patience):
			require.FailNow(t, "the subscriber got no message")
		}
		require.NoError(t, subscriber.Close())
	}
}

func TestAMessageIsPersistentAndHasTheEventsID(t *testing.T) {
	far := newFar(t)
	for _, kind := range []string{"classic", "quorum"} {
		topic := far.exchange(t, "fanout", "", amqp091.Table{"x-queue-type": kind})
		full, tombstone := record(1, topic, "k", []byte("body")), record(2, topic, "", nil)
		for _, err := range deliver(t, newSink(t, Config{URL: dbtest.AMQP(t)}), full, tombstone) {
			require.NoError(t, err)
		}
		arrived := far.arrived(t, topic)
		require.Len(t, arrived, 2)
		for _, d := range arrived {
			require.Equal(t, amqp091.Persistent, d.DeliveryMode)
			if d.MessageId == full.EventID.String() {
				require.Equal(t, "k", d.RoutingKey)
				require.Equal(t, "body", string(d.Body))
			} else {
				require.Equal(t, tombstone.EventID.String(), d.MessageId)
				require.Empty(t, d.RoutingKey)
				require.Empty(t, d.Body)
			}
		}
	}
}

// Records that no broker can accept are parked without a connection.
func TestARecordThatAMQPCannotCarryIsRejectedUnsent(t *testing.T) {
	long := string(make([]byte, 256))
	sink := newSink(t, Config{URL: "amqp://127.0.0.1:1"})
	session, err := sink.Open(t.Context(), func(*relay.Record, error) {})
	require.NoError(t, err)
	defer session.Close()
	validate := session.(relay.Validator).Validate
	require.NoError(t, validate(record(1, long[:255], long[:255], nil)))
	for _, wrong := range []struct {
		record *relay.Record
		says   string
	}{
		{record(1, "orders", long, nil), "the key has 256 bytes"},
		{record(1, long, "k", nil), "the topic has 256 bytes"},
		{record(1, "", "k", nil), "no topic"},
	} {
		require.ErrorContains(t, validate(wrong.record), wrong.says)
		err := deliver(t, sink, wrong.record)[0]
		require.ErrorIs(t, err, relay.ErrRejected)
		require.ErrorContains(t, err, wrong.says)
	}
	header := record(1, "orders", "k", nil)
	header.Headers = []byte(`{"` + strings.Repeat("n", 256) + `":"v"}`)
	err = deliver(t, sink, header)[0]
	require.ErrorIs(t, err, relay.ErrRejected)
	require.ErrorContains(t, err, "a name of 256 bytes")
	require.NotErrorIs(t, deliver(t, sink, record(1, "orders", "k", nil))[0], relay.ErrRejected, "nobody listens there")
}
