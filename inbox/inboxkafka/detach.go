package inboxkafka

import "github.com/twmb/franz-go/pkg/kgo"

// slabBytes is what small records share in memory.
const slabBytes = 64 << 10

// detach moves keys, values and headers out of the answer of the broker that they came in. Left there, one record
// that waits would keep the whole answer in memory, which is what many partitions have sent. A batch that was compressed
// has memory of its own, and so have the records of each batch: a batch stays as long as one of its records.
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
