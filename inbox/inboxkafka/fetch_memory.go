package inboxkafka

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchMeter measures, as a hook of the client, how many bytes the client has decompressed, and the compression ratio.
// The client itself reports these bytes only after a whole fetch is decompressed. Each broker has one fetch at a time,
// until it is polled.
type fetchMeter struct {
	unpacking atomic.Int64 // the sum over all brokers

	mu         sync.Mutex
	brokers    map[int32]unpacked      // by node id
	leaders    map[partitionName]int32 // node id
	wire, size float64                 // bytes of the last batches: compressed, and decompressed
}

// unpacked is the decompressed part of a fetch that the client does not count yet.
type unpacked struct {
	bytes int64
	last  time.Time
}

var _ interface {
	kgo.HookBrokerRead
	kgo.HookFetchBatchRead
	kgo.HookFetchRecordBuffered
} = (*fetchMeter)(nil)

// Before the first batch, the ratio is initialRatio. After that, it is the average of about the last ratioWindow
// compressed bytes.
const (
	initialRatio = 8
	ratioWindow  = 1 << 20
)

// OnBrokerRead is called before the response is decompressed.
func (f *fetchMeter) OnBrokerRead(meta kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == kmsg.Fetch.Int16() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.clear(meta.NodeID)
	}
}

// OnFetchBatchRead is called after a batch was decompressed, or could not be.
func (f *fetchMeter) OnFetchBatchRead(meta kgo.BrokerMetadata, topic string, partition int32,
	batch kgo.FetchBatchMetrics) {
	if batch.NumRecords == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.brokers == nil {
		f.brokers, f.leaders = make(map[int32]unpacked), make(map[partitionName]int32)
	}
	n := int64(batch.UncompressedBytes) + recordOverhead*int64(batch.NumRecords)
	f.unpacking.Add(n)
	f.brokers[meta.NodeID] = unpacked{f.brokers[meta.NodeID].bytes + n, time.Now()}
	f.leaders[partitionName{topic, partition}] = meta.NodeID
	if f.wire > ratioWindow {
		f.wire, f.size = f.wire/2, f.size/2
	}
	f.wire, f.size = f.wire+float64(batch.CompressedBytes), f.size+float64(n)
}

// OnFetchRecordBuffered is called for each record of a decompressed fetch. From here on the client counts it.
func (f *fetchMeter) OnFetchRecordBuffered(r *kgo.Record) {
	if f.unpacking.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if node, ok := f.leaders[partitionName{r.Topic, r.Partition}]; ok {
		f.clear(node)
	}
}

// forget clears fetches that were decompressed before a time but have no records for the consumer.
func (f *fetchMeter) forget(before time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node, u := range f.brokers {
		if u.last.Before(before) {
			f.clear(node)
		}
	}
}

func (f *fetchMeter) clear(node int32) {
	if u, ok := f.brokers[node]; ok {
		f.unpacking.Add(-u.bytes)
		f.brokers[node] = unpacked{last: u.last}
	}
}

// packed returns the number of compressed bytes that a fetch of each broker may have, if all of them together may use n
// bytes of memory.
func (f *fetchMeter) packed(n int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	ratio := float64(initialRatio)
	if f.wire > 0 {
		ratio = f.size / f.wire
	}
	return int64(float64(n) / ratio / float64(max(len(f.brokers), 1)))
}
