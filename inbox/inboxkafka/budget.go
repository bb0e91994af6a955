package inboxkafka

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// budget bounds what a member keeps of Kafka's messages in memory: Config.BufferBytes, unpacked, for all partitions
// together. Three rules share it:
//
//   - A partition is paused when it holds as much as is free. So n partitions that stand still leave one part of n + 1
//     to the others, and one that is alone may have half.
//   - A fetch asks for a quarter of what is free, by the ratio at which batches unpacked before, and unpacking
//     stops at half of it: franz-go drops the rest of the partition's fetch, and fetches it again.
//   - When nothing is free, the partitions that hold nothing are let in once a second for one batch of each broker,
//     so that partitions that stand still never stop the others, whatever the size of a message.
//
// So the bound is exceeded by one batch, which cannot be taken in parts, and by one a second and broker while
// everything stands still, one for each partition at the most; and a batch stays in memory until the last of its
// records is done.
type budget struct {
	limit      int64
	held       atomic.Int64 // by messages that wait or are in handlers
	checkBelow atomic.Int64 // partitions are looked at again when no more than that is held
	fetch      fetchMeter

	client            *kgo.Client
	decompressor      kgo.Decompressor
	maxBytes, maxPart int32 // of a fetch, as configured
}

// recordOverhead is what a message takes beside its key, value and headers, and headerOverhead what a header does.
const recordOverhead, headerOverhead = 256, 64

// cost is what a record takes in memory.
func cost(r *kgo.Record) int64 {
	n := recordOverhead + len(r.Key) + len(r.Value) + headerOverhead*len(r.Headers)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// options are what the budget needs of a client. They follow those of Config.
func (b *budget) options() []kgo.Opt {
	return []kgo.Opt{kgo.WithDecompressor(b), kgo.WithHooks(&b.fetch)}
}

// connect takes the client that was made with options, before its first fetch.
func (b *budget) connect(client *kgo.Client) error {
	b.client = client
	b.maxBytes = client.OptValue(kgo.FetchMaxBytes).(int32)
	b.maxPart = client.OptValue(kgo.FetchMaxPartitionBytes).(int32)
	b.sizeFetch()
	// Only a client can make a decompressor with a limit for a batch.
	most := client.OptValue(kgo.MaxDecompressBatchBytes).(int)
	maker, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(most))
	if err != nil {
		return err
	}
	defer maker.Close()
	b.decompressor = maker.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return nil
}

// errNoRoom ends the unpacking of a partition's fetch. franz-go tells of it if nothing was unpacked before; its
// position stays, and it fetches again what was left.
var errNoRoom = errors.New("the fetch takes more memory unpacked than is free")

// Decompress is kgo.Decompressor's.
func (b *budget) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if n := b.fetched(); n > 0 && n >= b.free()/2 {
		return nil, errNoRoom
	}
	return b.decompressor.Decompress(src, codec)
}

// fetched is what was unpacked and not polled yet.
func (b *budget) fetched() int64 {
	return b.fetch.unpacking.Load() + b.client.BufferedFetchBytes() + recordOverhead*b.client.BufferedFetchRecords()
}

func (b *budget) free() int64 { return b.limit - b.held.Load() }

// sizeFetch has the next fetches ask for no more than there is room for. Kafka sends one batch at least.
func (b *budget) sizeFetch() {
	n := int32(min(max(b.fetch.packed(b.free()/4), 1), int64(b.maxBytes)))
	b.client.UpdateFetchMaxBytes(n, min(n, b.maxPart))
}

// step is how much is freed between two looks at all partitions.
func (b *budget) step() int64 { return b.limit / 16 }

// recordsAdded pauses partitions that hold as much as is free, after messages were added to some.
func (m *member) recordsAdded() {
	b := &m.budget
	held := b.held.Load()
	b.checkBelow.Store(max(held-b.step(), 0))
	if 2*held >= b.limit { // below, no partition can hold as much as is free
		for _, p := range m.all() {
			p.mu.Lock()
			p.pause()
			p.mu.Unlock()
		}
	}
	b.sizeFetch()
}

// memoryFreed resumes partitions for which there is room again, when enough was freed since the last look.
func (m *member) memoryFreed() {
	if held := m.budget.held.Load(); held <= m.budget.checkBelow.Load() {
		m.resumeAll(false)
	}
}

// resumeAll looks at all partitions. empty lets in those that hold nothing, also when nothing is free.
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

// admitWaiting lets partitions in that wait while others stand still.
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

// slabBytes is what small records share in memory.
const slabBytes = 64 << 10

// detach moves keys, values and headers out of the answer of the broker that they came in. Left there, one record
// that waits would keep the whole answer in memory, which is what many partitions have sent. A batch that was
// compressed has memory of its own, and so have the records of each batch: a batch stays as long as one of its records.
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

// payload is how much of a record lies in the memory of its batch.
func payload(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Value)
	}
	return n
}
