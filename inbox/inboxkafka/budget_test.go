package inboxkafka_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

const kib = 1 << 10

// load writes batches of one record of a size to each partition.
func (w world) load(t *testing.T, partitions, batches, size int, codec kgo.CompressionCodec) {
	t.Helper()
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(32<<20), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(0))
	require.NoError(t, err)
	defer producer.Close()
	value := make([]byte, size)
	if codec == kgo.NoCompression() {
		_, _ = rand.NewChaCha8([32]byte{}).Read(value)
	}
	for n := range batches {
		records := make([]*kgo.Record, partitions)
		for p := range records {
			records[p] = w.record(int32(p), fmt.Sprintf("p%02d-%03d", p, n))
			records[p].Value = value
		}
		require.NoError(t, producer.ProduceSync(t.Context(), records...).FirstErr())
	}
}

// live is the heap that is in use.
func live() int {
	runtime.GC()
	runtime.GC() // what lay in a sync.Pool goes with the second
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// All partitions are full of large messages, and the handlers are slow: what is in memory stays below the budget,
// however well the batches are compressed in Kafka.
func TestTheMessagesInMemoryStayBelowTheBudget(t *testing.T) {
	for name, c := range map[string]struct {
		codec                                    kgo.CompressionCodec
		partitions, batches, size, budget, bound int
	}{
		"not compressed":                 {kgo.NoCompression(), 24, 10, 100 * kib, 2048 * kib, 4 * 1024 * kib},
		"zstd":                           {kgo.ZstdCompression(), 24, 5, 1024 * kib, 8192 * kib, 12 * 1024 * kib},
		"batches larger than the budget": {kgo.ZstdCompression(), 8, 6, 2048 * kib, 1024 * kib, 8 * 1024 * kib},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dbtest.SQLite(t), c.partitions)
			w.load(t, c.partitions, c.batches, c.size, c.codec)
			cfg := w.config(t, inboxkafka.Batch)
			cfg.BufferBytes, cfg.MaxBatch, cfg.Buffer = c.budget, 1, 10_000
			w.producer.Close()
			before := live()
			var mu sync.Mutex
			handled, most, last := 0, 0, make(map[int32]int64)
			r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				mu.Lock() // slow: one at a time, and a collection for each eighth
				defer mu.Unlock()
				if handled++; handled%8 == 1 {
					most = max(most, live()-before)
				}
				if at := m.Position; last[at.Partition] != at.Offset {
					return fmt.Errorf("partition %d: offset %d came at the turn of %d", at.Partition, at.Offset,
						last[at.Partition])
				}
				last[m.Position.Partition]++
				runtime.KeepAlive(m.Payload)
				return w.effect(ctx, tx, m)
			})
			w.awaitEffects(t, c.partitions*c.batches)
			r.end(t)
			t.Logf("%d KiB of %d KiB were in memory, with a budget of %d KiB", most/kib,
				c.partitions*c.batches*c.size/kib,
				c.budget/kib)
			require.Less(t, most, c.bound)
		})
	}
}

// Partitions whose handlers stand still keep their part of the budget, and no more: the others go on. Also when
// one message of each is more than the budget.
func TestPartitionsThatStandStillLeaveMemoryToTheOthers(t *testing.T) {
	for name, c := range map[string]struct{ size, batches, budget int }{
		"with a share for each":           {100 * kib, 30, 1600 * kib},
		"with one message above a budget": {100 * kib, 4, 300 * kib},
	} {
		for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
			t.Run(fmt.Sprint(name, codec), func(t *testing.T) {
				t.Parallel()
				const partitions = 8
				w := newWorld(t, dbtest.PostgreSQL(t), partitions)
				w.load(t, partitions, c.batches, c.size, codec)
				cfg := w.config(t, inboxkafka.Batch)
				cfg.BufferBytes, cfg.MaxBatch, cfg.Buffer = c.budget, 1, 10_000
				counts := &polled{by: make(map[int32]int)}
				cfg.Options = append(cfg.Options, kgo.WithHooks(counts))
				still := make(chan struct{})
				release := sync.OnceFunc(func() { close(still) })
				defer release()
				r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
					if m.Position.Partition != 0 {
						<-still
					}
					return w.effect(ctx, tx, m)
				})
				w.awaitEffects(t, c.batches)
				held := 0
				for p := range int32(partitions) {
					if p > 0 {
						held += counts.of(p) * c.size
					}
				}
				require.LessOrEqual(t, held, c.budget+(partitions-1)*c.size)
				release()
				require.Equal(t, partitions*c.batches, len(w.awaitEffects(t, partitions*c.batches)))
				r.end(t)
			})
		}
	}
}

// A batch that is unpacked is handed out whole, or not begun: nothing is lost where unpacking stops in the middle of
// a fetch, with many messages in a batch and several batches in a fetch.
func TestNothingIsLostWhereUnpackingStops(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 3)
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	require.NoError(t, err)
	defer producer.Close()
	const batches, records = 40, 25
	for n := range batches {
		var batch []*kgo.Record
		for i := range 3 * records {
			r := w.record(int32(i%3), fmt.Sprintf("%03d-%03d", n, i))
			r.Value = bytes.Repeat([]byte("x"), kib)
			batch = append(batch, r)
		}
		require.NoError(t, producer.ProduceSync(t.Context(), batch...).FirstErr())
	}
	cfg := w.config(t, inboxkafka.Batch)
	cfg.BufferBytes = 100 * kib
	r := consume(t, cfg, w.effect)
	w.awaitEffects(t, 3*batches*records)
	r.end(t)
	require.Equal(t, 3*batches*records, w.count(t, "SELECT count(DISTINCT message_id) FROM effects"))
	require.Zero(t, w.count(t, "SELECT count(*) FROM effects a JOIN effects b ON a.seq < b.seq AND a.kafka_offset > "+
		"b.kafka_offset AND substr(a.message_id, 5) = substr(b.message_id, 5)"))
}
