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

// BenchmarkTransactions measures the sink alone in exactly-once mode. The records are in memory and have 256
// bytes, with 10,000 keys and 8 partitions. There are deliveries of 5,000 records like the relay's reads, at
// most 40,000 unacknowledged records, and transactions of a bounded number of records. It reports events/s
// from the first Deliver to the last acknowledgement.
func BenchmarkTransactions(b *testing.B) {
	for _, size := range []int{2000, 5000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkTransactions(b, size) })
	}
}

func benchmarkTransactions(b *testing.B, size int) {
	topic := dbtest.Topic(b, 8)
	w := realTx(b)
	sink, err := relaykafka.New(relaykafka.Config{Brokers: w.brokers, Logger: quiet(), TransactionRecords: size})
	require.NoError(b, err)
	const batch, window = 5000, 40_000
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
	session, err := sink.OpenTransactional(b.Context(), w.source, nil, func(_ *relay.Record, err error) {
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
