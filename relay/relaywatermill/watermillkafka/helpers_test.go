package watermillkafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/kafkaread"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// sarama starts it once for the process.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// sarama sometimes leaves a connection behind, in one of nine runs under load. Its source shows how:
		// after an error it closes a broker's connection and then removes the broker from the client's list.
		// A producer may open the connection again in between, and the client's Close does not know it then.
		// We have read this, but not forced it. A client that we forget to close also leaves its
		// backgroundMetadataUpdater, which is not ignored.
		goleak.IgnoreTopFunction("github.com/IBM/sarama.(*Broker).responseReceiver"))
}

func brokers(t testing.TB) []string { return strings.Split(dbtest.Kafka(t), ",") }

// settledTopic returns a topic whose leaders know that they are leaders. Just after a topic was created,
// sarama uses up its retries before they know. The topic has a probe without headers in each partition.
func settledTopic(t testing.TB, partitions int) string {
	t.Helper()
	topic := dbtest.Topic(t, partitions)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(t)...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for partition := range partitions {
		require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: int32(partition)}).FirstErr())
	}
	return topic
}

// consume reads all records of a topic except the probes.
func consume(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var records []*kgo.Record
	require.NoError(t, kafkaread.ToEnd(ctx, brokers(t), []string{topic}, kgo.ReadUncommitted(), func(r *kgo.Record) {
		if len(r.Headers) > 0 {
			records = append(records, r)
		}
	}))
	return records
}

func published(t testing.TB, topic string) []relaytest.Message {
	t.Helper()
	var messages []relaytest.Message
	for _, r := range consume(t, topic) {
		m := relaytest.Message{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, relay.Header{Name: h.Key, Value: string(h.Value)})
		}
		messages = append(messages, m)
	}
	return messages
}
