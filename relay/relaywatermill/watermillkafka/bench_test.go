package watermillkafka_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill/watermillkafka"
)

// BenchmarkLanes measures the stock publisher with lanes: 256 bytes, 10,000 keys, 8 partitions. The default
// of relaywatermill.Options.Lanes is a result of it.
func BenchmarkLanes(b *testing.B) {
	for _, lanes := range []int{1, 64, 256, 512, 1024, 4096} {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) { benchmarkLanes(b, lanes) })
	}
}

func benchmarkLanes(b *testing.B, lanes int) {
	topic := settledTopic(b, 8)
	sink, err := watermillkafka.New(watermillkafka.Config{Brokers: strings.Split(dbtest.Kafka(b), ","), Lanes: lanes})
	require.NoError(b, err)
	defer sink.Close()
	const batch, window = 1000, 32_000
	records := make([]relay.Record, window)
	for i := range records {
		records[i] = relay.Record{
			ID: int64(i + 1), EventID: uuid.New(), Topic: topic, Key: fmt.Appendf(nil, "key-%d", i%10_000),
			Type:    "order.placed",
			Payload: []byte(strings.Repeat("x", 256)), Headers: []byte("{}"), CreatedAt: time.Now(),
		}
	}
	var failed atomic.Pointer[error]
	slots := make(chan struct{}, window)
	session, err := sink.Open(b.Context(), func(_ *relay.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
		<-slots
	})
	require.NoError(b, err)
	defer session.Close()
	b.ResetTimer()
	pointers := make([]*relay.Record, 0, batch)
	for n := 0; n < b.N; {
		pointers = pointers[:0]
		for ; n < b.N && len(pointers) < batch; n++ {
			slots <- struct{}{}
			pointers = append(pointers, &records[n%window])
		}
		session.Deliver(context.Background(), pointers)
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
