package inboxkafka

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// budget limits the memory of a member for messages: Config.BufferBytes, uncompressed, for all partitions together. It
// has three rules:
//
//   - A partition is paused when it uses as much as is free. So n slow partitions leave 1/(n+1) of the budget to the
//     others, and a single one may use half.
//   - A fetch asks for a quarter of the free memory, estimated by the compression ratio of earlier batches.
//     Decompression stops at half of the free memory. Then franz-go drops the rest of the partition's fetch, and
//     fetches it again.
//   - When no memory is free, partitions that use none are resumed once a second, for one batch of each broker. So slow
//     partitions never stop the others, whatever the size of a message.
//
// The limit can be exceeded by one batch, because a batch cannot be split. While all partitions are slow, it can be
// exceeded by one batch per second and broker, and by at most one per partition. A batch stays in memory until the last
// of its records is handled.
type budget struct {
	limit      int64
	held       atomic.Int64 // bytes of messages that wait or are in handlers
	checkBelow atomic.Int64 // check the partitions again when held is not more than this
	fetch      fetchMeter

	client            *kgo.Client
	decompressor      kgo.Decompressor
	maxBytes, maxPart int32 // the configured sizes of a fetch
}

// recordOverhead is the memory of a message besides its key, value and headers. headerOverhead is that of a header.
const recordOverhead, headerOverhead = 256, 64

// cost returns the memory of a record in bytes.
func cost(r *kgo.Record) int64 {
	n := recordOverhead + len(r.Key) + len(r.Value) + headerOverhead*len(r.Headers)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// options returns the client options that the budget needs. They must follow those of Config.
func (b *budget) options() []kgo.Opt {
	return []kgo.Opt{kgo.WithDecompressor(b), kgo.WithHooks(&b.fetch)}
}

// connect sets the client, which was created with options. It must be called before the client's first fetch.
func (b *budget) connect(client *kgo.Client) error {
	b.client = client
	b.maxBytes = client.OptValue(kgo.FetchMaxBytes).(int32)
	b.maxPart = client.OptValue(kgo.FetchMaxPartitionBytes).(int32)
	b.sizeFetch()
	// Only a client can create a decompressor with a limit for a batch.
	most := client.OptValue(kgo.MaxDecompressBatchBytes).(int)
	maker, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(most))
	if err != nil {
		return err
	}
	defer maker.Close()
	b.decompressor = maker.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return nil
}

// errNoRoom ends the decompression of a partition's fetch. franz-go reports it if nothing was decompressed before. Its
// position stays, and it fetches the rest again.
var errNoRoom = errors.New("the fetch needs more memory than is free")

// Decompress implements kgo.Decompressor.
func (b *budget) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if n := b.fetched(); n > 0 && n >= b.free()/2 {
		return nil, errNoRoom
	}
	return b.decompressor.Decompress(src, codec)
}

// fetched returns the bytes that were decompressed and not polled yet.
func (b *budget) fetched() int64 {
	return b.fetch.unpacking.Load() + b.client.BufferedFetchBytes() + recordOverhead*b.client.BufferedFetchRecords()
}

func (b *budget) free() int64 { return b.limit - b.held.Load() }

// sizeFetch limits the size of the next fetches to the free memory. Kafka sends at least one batch.
func (b *budget) sizeFetch() {
	n := int32(min(max(b.fetch.packed(b.free()/4), 1), int64(b.maxBytes)))
	b.client.UpdateFetchMaxBytes(n, min(n, b.maxPart))
}

// step is the number of bytes that must be freed between two checks of all partitions.
func (b *budget) step() int64 { return b.limit / 16 }

// recordsAdded pauses partitions that use as much memory as is free. It is called after messages were added.
func (m *member) recordsAdded() {
	b := &m.budget
	held := b.held.Load()
	b.checkBelow.Store(max(held-b.step(), 0))
	if 2*held >= b.limit { // otherwise no partition can use as much as is free
		for _, p := range m.all() {
			p.mu.Lock()
			p.pause()
			p.mu.Unlock()
		}
	}
	b.sizeFetch()
}

// memoryFreed resumes partitions for which memory is free again, if enough was freed since the last check.
func (m *member) memoryFreed() {
	if held := m.budget.held.Load(); held <= m.budget.checkBelow.Load() {
		m.resumeAll(false)
	}
}

// resumeAll checks all partitions. With empty, it resumes those that use no memory even if none is free.
func (m *member) resumeAll(empty bool) {
	b := &m.budget
	b.checkBelow.Store(max(b.held.Load()-b.step(), 0))
	b.sizeFetch()
	for _, p := range m.all() {
		p.mu.Lock()
		p.resume(empty)
		p.mu.Unlock()
	}
}

// admitWaiting resumes partitions that wait while others use all the memory.
func (m *member) admitWaiting() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
		}
		m.budget.fetch.forget(time.Now().Add(-time.Second))
		m.resumeAll(true)
	}
}

// slabBytes is the size of the memory blocks that small records share.
const slabBytes = 64 << 10

// detach copies keys, values and headers out of the broker's response. Otherwise one waiting record would keep the
// whole response in memory, with the records of many partitions. A compressed batch has its own memory, and is not
// copied: it stays in memory as long as one of its records.
func detach(records []*kgo.Record) {
	left := 0
	for _, r := range records {
		left += payload(r)
	}
	var slab []byte
	for _, r := range records {
		n := payload(r)
		left -= n
		if r.Attrs.CompressionType() != 0 || n == 0 {
			continue
		}
		var memory []byte
		switch {
		case n > slabBytes/4:
			memory = make([]byte, n)
		case n > len(slab):
			slab = make([]byte, min(slabBytes, n+left))
			fallthrough
		default:
			memory, slab = slab[:n], slab[n:]
		}
		move := func(b *[]byte) {
			switch k := copy(memory, *b); {
			case k > 0:
				*b, memory = memory[:k:k], memory[k:]
			case *b != nil: // nil is a tombstone
				*b = []byte{}
			}
		}
		move(&r.Key)
		move(&r.Value)
		for h := range r.Headers {
			move(&r.Headers[h].Value)
		}
	}
}

// payload returns the number of bytes of a record that are in the memory of its batch.
func payload(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Value)
	}
	return n
}
