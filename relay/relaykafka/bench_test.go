package relaykafka_test

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
	"github.com/postroom/postroom/relay/relaykafka"
)

// BenchmarkDeliver measures the sink alone. The records are in memory and have 256 bytes, with 10,000 keys, 8
// partitions, batches of 1,000, and at most 32,000 unacknowledged, as in the relay. It reports events/s from
// the first Deliver to the last acknowledgement.
func BenchmarkDeliver(b *testing.B) {
	topic := dbtest.Topic(b, 8)
	sink, err := relaykafka.New(relaykafka.Config{Brokers: strings.Split(dbtest.Kafka(b), ",")})
	require.NoError(b, err)
	const batch, window = 1000, 32_000
	records := make([]relay.Record, window)
	for i := range records {
		records[i] = relay.Record{
			ID: int64(i + 1), EventID: uuid.New(), Topic: topic, Key: fmt.Appendf(nil, "key-%d", i%10_000),
			Type:    "order.placed",
			Payload: []byte(strings.Repeat("x", 256)), Headers: []byte("{}"), CreatedAt: time.Now(),
		}
	}
	var failed atomic.Int64
	slots := make(chan struct{}, window)
	session, err := sink.Open(b.Context(), func(_ *relay.Record, err error) {
		if err != nil {
			failed.Add(1)
		}
		<-slots
	})
	require.NoError(b, err)
	defer session.Close()
	b.ReportAllocs()
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
	require.Zero(b, failed.Load())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
