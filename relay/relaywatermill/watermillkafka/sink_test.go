package watermillkafka_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
	"github.com/postroom/postroom/relay/relaywatermill/watermillkafka"
)

func newSink(t testing.TB, cfg watermillkafka.Config) *watermillkafka.Sink {
	t.Helper()
	cfg.Brokers = brokers(t)
	sink, err := watermillkafka.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	return sink
}

// The rejection comes from our own limit, and the outage is a network that is cut, because other tests use
// the servers too.
func TestSinkKeepsTheRelaysPromisesOnARealKafka(t *testing.T) {
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		network := new(cutNetwork)
		var refused atomic.Pointer[string]
		return relaytest.Target{
			Sink: newSink(t, watermillkafka.Config{
				Buffer: 500,
				Configure: func(config *sarama.Config) error {
					config.Net.Proxy.Enable = true
					config.Net.Proxy.Dialer = network
					config.Producer.Retry.Max = 3 // a shorter outage for the tests
					config.Producer.Interceptors = []sarama.ProducerInterceptor{&refuser{&refused}}
					return nil
				},
			}),
			Topics:    [2]string{settledTopic(t, 4), settledTopic(t, 4)},
			Published: published,
			Refuse: func(_ testing.TB, topic string) func() {
				refused.Store(&topic)
				return func() { refused.Store(nil) }
			},
			Outage:    func(testing.TB) func() { return network.cut() },
			Rejects:   true,
			Buffer:    500,
			KeepsNull: true,
			Patience:  patience,
		}
	})
}

// refuser makes messages for one topic larger than any limit.
type refuser struct{ topic *atomic.Pointer[string] }

func (r *refuser) OnSend(msg *sarama.ProducerMessage) {
	if topic := r.topic.Load(); topic != nil && msg.Topic == *topic {
		msg.Value = sarama.ByteEncoder(make([]byte, 2<<20))
	}
}

type cutNetwork struct{ off atomic.Bool }

func (n *cutNetwork) cut() (restore func()) {
	n.off.Store(true)
	return func() { n.off.Store(false) }
}

func (n *cutNetwork) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &cutConn{conn, n}, err
}

type cutConn struct {
	net.Conn
	network *cutNetwork
}

func (c *cutConn) Write(p []byte) (int, error) {
	const produceKey = 0 // Kafka's API key of a Produce request
	if c.network.off.Load() && len(p) > 6 && p[4] == 0 && p[5] == produceKey {
		return 0, errors.New("the network is cut")
	}
	return c.Conn.Write(p)
}

func record(id int64, topic, key string, payload []byte) *relay.Record {
	r := &relay.Record{ID: id, EventID: uuid.New(), Topic: topic, Type: "t", Payload: payload, CreatedAt: time.Now()}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

// deliver returns the records' answers in the same order.
func deliver(t *testing.T, sink relay.Sink, records ...*relay.Record) []error {
	t.Helper()
	type answer struct {
		record *relay.Record
		err    error
	}
	answers := make(chan answer, len(records))
	session, err := sink.Open(t.Context(), func(r *relay.Record, err error) { answers <- answer{r, err} })
	require.NoError(t, err)
	session.Deliver(t.Context(), records)
	got := make(map[*relay.Record]error)
	for range records {
		a := <-answers
		got[a.record] = a.err
	}
	session.Close()
	var list []error
	for _, r := range records {
		list = append(list, got[r])
	}
	return list
}

func TestAKeyGoesToThePartitionWhereJavaPutsIt(t *testing.T) {
	topic := settledTopic(t, 8)
	vectors := map[string]int32{ // Apache Kafka's UtilsTest.testMurmur2
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	var records []*relay.Record
	for key := range vectors {
		records = append(records, record(int64(len(records)), topic, key, nil))
	}
	for _, err := range deliver(t, newSink(t, watermillkafka.Config{}), records...) {
		require.NoError(t, err)
	}
	arrived := consume(t, topic)
	require.Len(t, arrived, len(vectors))
	for _, r := range arrived {
		require.Equal(t, (vectors[string(r.Key)]&0x7fffffff)%8, r.Partition, "partition of key %q", r.Key)
	}
}

func TestKeylessRecordsUseSeveralPartitions(t *testing.T) {
	topic := settledTopic(t, 4)
	var records []*relay.Record
	for i := range 64 {
		records = append(records, record(int64(i), topic, "", []byte("x")))
	}
	for _, err := range deliver(t, newSink(t, watermillkafka.Config{}), records...) {
		require.NoError(t, err)
	}
	used := make(map[int32]bool)
	for _, r := range consume(t, topic) {
		require.Nil(t, r.Key)
		used[r.Partition] = true
	}
	require.Greater(t, len(used), 1)
}

func TestAStockSubscriberReadsTheRecords(t *testing.T) {
	topic := settledTopic(t, 2)
	full := record(1, topic, "k", []byte("body"))
	full.Headers = []byte(`{"tenant":"blue"}`)
	require.NoError(t, deliver(t, newSink(t, watermillkafka.Config{}), full)[0])
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: brokers(t), Unmarshaler: watermillkafka.Marshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	defer subscriber.Close()
	messages, err := subscriber.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case msg := <-messages:
			msg.Ack()
			if msg.UUID == "" { // a probe
				continue
			}
			require.Equal(t, full.EventID.String(), msg.UUID)
			require.Equal(t, "body", string(msg.Payload))
			require.Equal(t, "blue", msg.Metadata.Get("tenant"))
			require.Equal(t, "t", msg.Metadata.Get("name"))
			return
		case <-timeout.C:
			require.FailNow(t, "the subscriber got no message")
		}
	}
}

func TestThePublisherWorksWithoutTheRelay(t *testing.T) {
	topic := settledTopic(t, 2)
	publisher, err := watermillkafka.NewPublisher(watermillkafka.Config{
		Brokers: brokers(t),
		Key:     func(_ string, msg *message.Message) []byte { return []byte(msg.Metadata.Get("order")) },
	})
	require.NoError(t, err)
	defer publisher.Close()
	msg := message.NewMessage("uuid-1", []byte{})
	msg.Metadata = message.Metadata{"order": "7", "Z": "1", "a": "2"}
	require.NoError(t, publisher.Publish(topic, msg))
	arrived := consume(t, topic)
	require.Len(t, arrived, 1)
	require.Equal(t, []byte("7"), arrived[0].Key)
	require.NotNil(t, arrived[0].Value)
	require.Equal(t, []kgo.RecordHeader{
		{Key: "Z", Value: []byte("1")}, {Key: kafka.UUIDHeaderKey, Value: []byte("uuid-1")},
		{Key: "a", Value: []byte("2")}, {Key: "order", Value: []byte("7")},
	}, arrived[0].Headers)
	msg.Metadata.Set(kafka.UUIDHeaderKey, "x")
	require.ErrorContains(t, publisher.Publish(topic, msg), "reserved")
}

func TestATooLargeRecordIsARejection(t *testing.T) {
	topic := settledTopic(t, 1)
	err := deliver(t, newSink(t, watermillkafka.Config{}), record(1, topic, "k", make([]byte, 1<<20)))[0]
	require.ErrorIs(t, err, relay.ErrRejected, "larger than MaxMessageBytes")
	err = deliver(
		t, newSink(t, watermillkafka.Config{MaxMessageBytes: 4 << 20}), record(1, topic, "k", make([]byte, 2<<20)),
	)[0]
	require.ErrorIs(t, err, relay.ErrRejected, "larger than the broker takes")
	require.ErrorIs(t, err, sarama.ErrMessageSizeTooLarge)
}

func TestARecordTooLargeForItsTopicIsRefusedUnsent(t *testing.T) {
	topic := settledTopic(t, 1)
	setLimit(t, topic, "2000")
	sink := newSink(t, watermillkafka.Config{})
	session, err := sink.Open(t.Context(), func(*relay.Record, error) {})
	require.NoError(t, err)
	defer session.Close()
	validator := session.(relay.Validator)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, validator.Validate(record(1, topic, "k", make([]byte, 2000))), "takes 2000")
	}, patience, 10*time.Millisecond)
	// The rule is exact: with one more byte the message is too large, by Kafka's own count.
	size := 2000
	for validator.Validate(record(2, topic, "k", make([]byte, size))) != nil {
		size--
	}
	answers := deliver(t, sink, record(3, topic, "k", make([]byte, size)))
	require.NoError(t, answers[0])
	require.EventuallyWithT(t, func(c *assert.CollectT) { // a broker shows a setting a little before it applies it
		answers := deliver(t, sink, record(4, topic, "k", make([]byte, size+1)))
		assert.ErrorIs(c, answers[0], sarama.ErrMessageSizeTooLarge)
		assert.ErrorContains(c, answers[0], "raise the topic's max.message.bytes")
	}, patience, 10*time.Millisecond)
}

func setLimit(t *testing.T, topic, bytes string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(t)...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).AlterTopicConfigs(
		t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &bytes}}, topic,
	)
	require.NoError(t, err)
}

func TestATopicThatDoesNotExistIsAnOutageAtFirstAndThenARejection(t *testing.T) {
	sink := newSink(t, watermillkafka.Config{UnknownTopicAfter: time.Nanosecond})
	topic := "postroom-test-missing-" + uuid.NewString()
	for _, want := range []bool{false, true} {
		err := deliver(t, sink, record(1, topic, "k", nil))[0]
		require.ErrorIs(t, err, sarama.ErrUnknownTopicOrPartition)
		require.Equal(t, want, errors.Is(err, relay.ErrRejected))
	}
}

func TestCheckAndNewNameTheBrokersThatDoNotAnswer(t *testing.T) {
	_ = dbtest.Kafka(t)
	sink := newSink(t, watermillkafka.Config{})
	require.NoError(t, sink.Check(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, sink.Check(ctx), context.Canceled)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, err = watermillkafka.New(watermillkafka.Config{Brokers: []string{nobody}})
	require.ErrorContains(t, err, nobody)
	require.ErrorContains(t, err, "check that the broker is up")
}
