package relaykafka_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaytest"
)

func realBrokers(t testing.TB) []string { return strings.Split(dbtest.Kafka(t), ",") }

func TestSinkKeepsTheRelaysPromisesOnARealKafka(t *testing.T) {
	brokers := realBrokers(t)
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		network := new(cutNetwork)
		all := published(brokers)
		return relaytest.Target{
			Sink: newSink(t, relaykafka.Config{
				Brokers: brokers, MaxBufferedBytes: 2 << 20, ExtraOptions: []kgo.Opt{kgo.Dialer(network.dial)},
			}),
			Topics: [2]string{dbtest.Topic(t, 4), dbtest.Topic(t, 4)},
			Published: func(t testing.TB, topic string) (messages []relaytest.Message) {
				for _, m := range all(t, topic) {
					if len(m.Headers) > 0 { // skip the probes of limit
						messages = append(messages, m)
					}
				}
				return messages
			},
			Refuse: func(t testing.TB, topic string) func() {
				limit(t, brokers, topic, "10")
				return func() { limit(t, brokers, topic, unlimited) }
			},
			Outage:    func(testing.TB) func() { return network.cut() },
			Rejects:   true,
			Buffer:    2 << 10,
			KeepsNull: true,
		}
	})
}

const unlimited = "1048588"

// limit sets the topic's max.message.bytes, below 200 or unlimited, and waits until each of the four
// partitions uses it.
func limit(t testing.TB, brokers []string, topic, bytes string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).AlterTopicConfigs(
		ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic,
	)
	require.NoError(t, err)
	for partition := range int32(4) {
		for {
			err := client.ProduceSync(
				ctx, &kgo.Record{Topic: topic, Partition: partition, Value: make([]byte, 200)},
			).FirstErr()
			require.NoError(t, ctx.Err())
			if (err != nil) == (bytes != unlimited) {
				break
			}
		}
	}
}

// cutNetwork is a network that can be cut for produce requests.
type cutNetwork struct{ off atomic.Bool }

func (n *cutNetwork) cut() (restore func()) {
	n.off.Store(true)
	return func() { n.off.Store(false) }
}

func (n *cutNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &cutConn{conn, n}, err
}

type cutConn struct {
	net.Conn
	network *cutNetwork
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.network.off.Load() && len(p) > 6 && p[4] == 0 && p[5] == produceKey {
		return 0, errors.New("the network is cut")
	}
	return c.Conn.Write(p)
}

// wireRecords are the records that the readers below expect.
func wireRecords(topic string) []*relay.Record {
	full := record(1, topic, "schlüssel", []byte(`{"n":1}`))
	full.Headers = []byte(`{"tenant":"blue","amount":12}`)
	tombstone := record(2, topic, "abc", nil)
	keyless := record(3, topic, "", []byte{})
	return []*relay.Record{full, tombstone, keyless}
}

func deliverReal(t *testing.T, records []*relay.Record) {
	t.Helper()
	session, got := open(t, relaykafka.Config{Brokers: realBrokers(t)})
	session.Deliver(t.Context(), records)
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
}

func TestAStockWatermillSubscriberReadsTheRecords(t *testing.T) {
	topic := dbtest.Topic(t, 8)
	records := wireRecords(topic)
	deliverReal(t, records)
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: realBrokers(t), Unmarshaler: kafka.DefaultMarshaler{},
		OverwriteSaramaConfig: fromTheStart(),
	}, watermill.NopLogger{})
	require.NoError(t, err)
	defer subscriber.Close()
	messages, err := subscriber.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	got := make(map[string]*message.Message)
	partitions := make(map[string]int32)
	for range records {
		select {
		case msg := <-messages:
			got[msg.UUID] = msg
			partitions[msg.UUID], _ = kafka.MessagePartitionFromCtx(msg.Context())
			key, _ := kafka.MessageKeyFromCtx(msg.Context())
			msg.SetContext(context.WithValue(msg.Context(), keyOf{}, string(key)))
			msg.Ack()
		case <-time.After(patience):
			require.FailNow(t, "the subscriber got no message")
		}
	}
	full := got[records[0].EventID.String()]
	require.Equal(t, `{"n":1}`, string(full.Payload))
	require.Equal(t, message.Metadata{
		"name": "t", "tenant": "blue", "amount": "12",
		"postroom_created_at": records[0].CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
	}, full.Metadata)
	require.Equal(t, "schlüssel", full.Context().Value(keyOf{}))
	require.Equal(t, int32(479470107%8), partitions[records[1].EventID.String()], "murmur2 of abc")
	require.Nil(t, []byte(got[records[1].EventID.String()].Payload))
	require.Empty(t, got[records[2].EventID.String()].Context().Value(keyOf{}))
}

type keyOf struct{}

func TestKcatReadsTheRecords(t *testing.T) {
	topic := dbtest.Topic(t, 8)
	records := wireRecords(topic)
	deliverReal(t, records)
	kcat := os.Getenv("POSTROOM_TEST_KCAT")
	if kcat == "" {
		var err error
		if kcat, err = exec.LookPath("kcat"); err != nil {
			if os.Getenv("CI") != "" {
				require.FailNow(t, "kcat is missing: apt-get install kcat, or set POSTROOM_TEST_KCAT")
			}
			t.Skip("kcat is missing: apt-get install kcat, or set POSTROOM_TEST_KCAT")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(
		ctx, kcat, "-b", realBrokers(t)[0], "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J",
	).Output()
	require.NoError(t, err)
	type line struct {
		Key       *string  `json:"key"`
		Payload   *string  `json:"payload"`
		Partition int32    `json:"partition"`
		Headers   []string `json:"headers"`
		TS        int64    `json:"ts"`
	}
	got := make(map[string]line)
	for _, text := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		var l line
		require.NoError(t, json.Unmarshal(text, &l))
		require.Equal(t, "_watermill_message_uuid", l.Headers[0])
		require.WithinDuration(t, time.Now(), time.UnixMilli(l.TS), time.Hour, "the time of producing")
		got[l.Headers[1]] = l
	}
	require.Len(t, got, len(records))
	full := got[records[0].EventID.String()]
	require.Equal(t, "schlüssel", *full.Key)
	require.Equal(t, `{"n":1}`, *full.Payload)
	stamp := records[0].CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	require.Equal(t, []string{
		"_watermill_message_uuid", records[0].EventID.String(), "amount", "12", "name", "t", "postroom_created_at",
		stamp, "tenant", "blue",
	}, full.Headers)
	tombstone := got[records[1].EventID.String()]
	require.Nil(t, tombstone.Payload)
	require.Equal(t, int32(479470107%8), tombstone.Partition, "murmur2 of abc")
	keyless := got[records[2].EventID.String()]
	require.Nil(t, keyless.Key)
	require.NotNil(t, keyless.Payload)
	require.Empty(t, *keyless.Payload)
}

func TestARecordAsLargeAsABatchFitsARealKafkasDefault(t *testing.T) {
	topic := dbtest.Topic(t, 1)
	r := record(1, topic, "k", make([]byte, 1_048_588-500))
	deliverReal(t, []*relay.Record{r})
	require.Len(t, consume(t, topic, realBrokers(t)...), 1)
}

func TestARecordLargerThanItsTopicsLimitIsNotSentToARealKafka(t *testing.T) {
	topic := dbtest.Topic(t, 4)
	session, got := open(t, relaykafka.Config{Brokers: realBrokers(t), BatchMaxBytes: 3 << 20})
	r := record(9, topic, "k", make([]byte, 2<<20))
	session.Deliver(t.Context(), []*relay.Record{r})
	err := got.wait(t, r)[0]
	require.ErrorIs(t, err, relay.ErrRejected)
	require.ErrorContains(t, err, "row 9")
	require.ErrorContains(t, err, "max.message.bytes")
}

func TestCreateTopicsOnARealKafka(t *testing.T) {
	brokers := realBrokers(t)
	topic := "created-" + strings.ToLower(record(1, "", "", nil).EventID.String())
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	defer func() {
		_, err := kadm.NewClient(client).DeleteTopic(context.Background(), topic)
		require.NoError(t, err)
	}()
	session, got := open(t, relaykafka.Config{Brokers: brokers, CreateTopics: true, TopicPartitions: 3})
	records := numbered(1, 100, 10, topic)
	start := time.Now()
	session.Deliver(t.Context(), records)
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
	t.Logf("created and delivered in %s", time.Since(start).Round(time.Millisecond))
	require.Equal(t, payloadsByKey(records), valuesByKey(consume(t, topic, brokers...)))
}
