package relaykafka_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay/relaykafka"
)

func newPublisher(t *testing.T, cfg relaykafka.Config, options relaykafka.PublisherOptions) *relaykafka.Publisher {
	t.Helper()
	cfg.Logger = quiet()
	publisher, err := relaykafka.NewPublisher(cfg, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, publisher.Close()) })
	return publisher
}

func TestThePublisherWritesWhatWatermillKafkaWrites(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	publisher := newPublisher(t, relaykafka.Config{Brokers: cluster.ListenAddrs()}, relaykafka.PublisherOptions{
		Key: func(topic string, msg *message.Message) string { return msg.Metadata.Get("order") },
	})
	keyed := message.NewMessage("uuid-1", []byte("body"))
	keyed.Metadata = message.Metadata{"order": "7", "a": "1", "Z": "2"}
	null := message.NewMessage("uuid-2", nil)
	empty := message.NewMessage("uuid-3", []byte{})
	require.NoError(t, publisher.Publish("orders", keyed, null, empty))
	arrived := consume(t, "orders", cluster.ListenAddrs()...)
	require.Len(t, arrived, 3)
	require.Equal(t, []byte("7"), arrived[0].Key)
	require.Equal(t, []byte("body"), arrived[0].Value)
	require.Equal(t, []kgo.RecordHeader{
		{Key: "Z", Value: []byte("2")}, {Key: "_watermill_message_uuid", Value: []byte("uuid-1")},
		{Key: "a", Value: []byte("1")}, {Key: "order", Value: []byte("7")},
	}, arrived[0].Headers)
	require.Nil(t, arrived[1].Key)
	require.Nil(t, arrived[1].Value)
	require.NotNil(t, arrived[2].Value)
	require.Empty(t, arrived[2].Value)
}

func TestThePublisherIsSafeForConcurrentUse(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(4, "orders"))
	publisher := newPublisher(t, relaykafka.Config{Brokers: cluster.ListenAddrs()}, relaykafka.PublisherOptions{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 10 {
				require.NoError(t, publisher.Publish("orders", message.NewMessage(fmt.Sprint(i, j), nil)))
			}
		})
	}
	wg.Wait()
	require.Len(t, consume(t, "orders", cluster.ListenAddrs()...), 200)
}

func TestPublishRefusesTheReservedMetadata(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	publisher := newPublisher(t, relaykafka.Config{Brokers: cluster.ListenAddrs()}, relaykafka.PublisherOptions{})
	msg := message.NewMessage("1", nil)
	msg.Metadata.Set("_watermill_message_uuid", "2")
	require.ErrorContains(t, publisher.Publish("orders", msg), "reserved")
	require.Empty(t, consume(t, "orders", cluster.ListenAddrs()...))
}

func TestPublishNamesATopicThatDoesNotExist(t *testing.T) {
	cluster := fakeKafka(t)
	publisher := newPublisher(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 100 * time.Millisecond},
		relaykafka.PublisherOptions{},
	)
	require.ErrorContains(t, publisher.Publish("missing", message.NewMessage("1", nil)), "topic missing does not exist")
}

func TestPublishCreatesTopicsWhenTold(t *testing.T) {
	cluster := fakeKafka(t)
	publisher := newPublisher(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), CreateTopics: true, TopicPartitions: 3, TopicReplicas: 1},
		relaykafka.PublisherOptions{},
	)
	require.NoError(t, publisher.Publish("new", message.NewMessage("1", nil)))
	require.Len(t, cluster.PartitionInfos("new"), 3)
}

func TestPublishWaitsNoLongerThanTheMessagesContextAndTheTimeout(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	cfg := relaykafka.Config{Brokers: cluster.ListenAddrs(), Logger: quiet()}
	patient := newPublisher(t, cfg, relaykafka.PublisherOptions{})
	hasty, err := relaykafka.NewPublisher(cfg, relaykafka.PublisherOptions{Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, patient.Publish("orders", message.NewMessage("0", nil)))
	restore := outage(cluster)

	msg := message.NewMessage("1", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	msg.SetContext(ctx)
	require.ErrorIs(t, patient.Publish("orders", msg), context.DeadlineExceeded)
	require.ErrorIs(t, hasty.Publish("orders", message.NewMessage("2", nil)), context.DeadlineExceeded)
	require.ErrorContains(t, hasty.Close(), "unacknowledged")
	require.NoError(t, hasty.Close(), "a second Close")
	require.ErrorIs(t, hasty.Publish("orders", message.NewMessage("3", nil)), relaykafka.ErrPublisherClosed)
	restore()
}

func TestPublishOfNothingDoesNothing(t *testing.T) {
	publisher := newPublisher(t, relaykafka.Config{Brokers: []string{nobody(t)}}, relaykafka.PublisherOptions{})
	require.NoError(t, publisher.Publish("orders"))
}
