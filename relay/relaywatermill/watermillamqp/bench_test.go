package watermillamqp

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill"
)

// BenchmarkPublishers compares this package's publisher with watermill-amqp's, both with the same lanes: 256
// bytes, 10,000 keys, a durable classic queue, persistent and confirmed messages. watermill-amqp also
// publishes mandatory messages here, but does not read returns.
func BenchmarkPublishers(b *testing.B) {
	b.Run("ours", func(b *testing.B) { benchmarkSink(b, newSink(b, Config{URL: dbtest.AMQP(b)}), "") })
	for _, pool := range []int{0, 64} {
		b.Run(fmt.Sprintf("watermill-amqp, channel pool %d", pool), func(b *testing.B) {
			config := amqp.NewDurablePubSubConfig(dbtest.AMQP(b), amqp.GenerateQueueNameTopicName)
			config.Publish.ConfirmDelivery, config.Publish.Mandatory = true, true
			config.Publish.ChannelPoolSize = pool
			publisher, err := amqp.NewPublisher(config, watermill.NopLogger{})
			require.NoError(b, err)
			defer func() { require.NoError(b, publisher.Close()) }()
			sink, err := relaywatermill.New(publisher, relaywatermill.Options{Lanes: 64})
			require.NoError(b, err)
			benchmarkSink(b, sink, "")
		})
	}
	b.Run("ours, quorum queue", func(b *testing.B) {
		benchmarkSink(b, newSink(b, Config{URL: dbtest.AMQP(b)}), "quorum")
	})
}

func benchmarkSink(b *testing.B, sink relay.Sink, queue string) {
	var arguments amqp091.Table
	if queue != "" {
		arguments = amqp091.Table{"x-queue-type": queue}
	}
	topic := newFar(b).exchange(b, "fanout", "", arguments)
	const window = 4096
	slots := make(chan struct{}, window)
	var failed atomic.Pointer[error]
	session, err := sink.Open(b.Context(), func(_ *relay.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
		<-slots
	})
	require.NoError(b, err)
	defer session.Close()
	payload := make([]byte, 256)
	b.ResetTimer()
	for n := range b.N {
		slots <- struct{}{}
		session.Deliver(b.Context(), []*relay.Record{{
			ID: int64(n + 1), EventID: uuid.New(), Topic: topic, Key: fmt.Appendf(nil, "key-%d", n%10_000),
			Type: "order.placed", Payload: payload, CreatedAt: time.Now(),
		}})
	}
	for range window {
		slots <- struct{}{}
	}
	b.StopTimer()
	if err := failed.Load(); err != nil {
		require.NoError(b, *err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
