package inboxkafka

import "github.com/twmb/franz-go/pkg/kgo"

// What records share memory in: a slab of payloads, and one of records.
const (
	slabBytes   = 64 << 10
	slabRecords = 128
)

// detach copies records out of the fetch that they came in. Left there, one record that waits would keep a
// whole batch in memory, and without compression the whole answer of a broker.
func detach(records []*kgo.Record) []*kgo.Record {
	left := 0
	for _, r := range records {
		left += payload(r)
	}
	copies := make([]*kgo.Record, len(records))
	var slab []byte
	var structs []kgo.Record
	for i, r := range records {
		if len(structs) == 0 {
			structs = make([]kgo.Record, min(slabRecords, len(records)-i))
		}
		copies[i], structs = &structs[0], structs[1:]
		*copies[i] = *r

		n := payload(r)
		memory := slab
		switch {
		case n > slabBytes/4:
			memory = make([]byte, n)
		case n > len(slab):
			slab = make([]byte, min(slabBytes, left))
			memory = slab
		}
		if n <= slabBytes/4 {
			slab = slab[n:]
		}
		left -= n
		move := func(b *[]byte) {
			switch k := copy(memory, *b); {
			case k > 0:
				*b, memory = memory[:k:k], memory[k:]
			case *b != nil: // nil is a tombstone
				*b = []byte{}
			}
		}
		move(&copies[i].Key)
		move(&copies[i].Value)
		for h := range copies[i].Headers { // a slice of its own for each record
			move(&copies[i].Headers[h].Value)
		}
	}
	return copies
}

// payload is how much of a record lies in the memory of its fetch.
func payload(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Value)
	}
	return n
}
