package relaykafka

import (
	"math/bits"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// What Kafka compares with max.message.bytes is a record batch as it comes in: its
// header and its records. So the largest record is the one that fits when it is alone.
//
// Sizes are those before compression. A record that would fit only compressed is
// refused, because whether it fits must not depend on its neighbours in the batch.
const (
	// batchHeader is a record batch without records: KIP-98, message format 2.
	batchHeader = 61

	// kgoFraming is what kgo counts beyond that: the length before the batch.
	kgoFraming = 4

	// batchFraming is more than what a batch adds to its only record, without headers.
	batchFraming = 128

	// requestFraming is more than what a request adds to its only batch. A
	// broker takes requests of 100 MiB (socket.request.max.bytes).
	requestFraming = 1024

	// smallestBatch is the least that kgo accepts as a limit.
	smallestBatch = 512
)

// aloneSize is the size of a batch that holds the record alone.
func aloneSize(r *kgo.Record) int {
	bytes := 0
	for i := range r.Headers {
		bytes += field(len(r.Headers[i].Key)) + field(len(r.Headers[i].Value))
	}
	return batchOf(len(r.Key), len(r.Value), len(r.Headers), bytes)
}

// aloneSizeOf is aloneSize for a record that is not encoded yet.
func aloneSizeOf(r *relay.Record, headers []relay.Header) int {
	bytes := 0
	for i := range headers {
		bytes += field(len(headers[i].Name)) + field(len(headers[i].Value))
	}
	return batchOf(len(r.Key), len(r.Payload), len(headers), bytes)
}

func batchOf(key, value, headers, headerBytes int) int {
	const attributesAndDeltas = 3 // of the first record in a batch
	record := attributesAndDeltas + field(key) + field(value) + varint(headers) + headerBytes
	return batchHeader + varint(record) + record
}

// field is the size of n bytes with their length before them; of null too, where n is 0.
func field(n int) int { return varint(n) + n }

// varint is the size of n, which is not negative, as a zigzag varint.
func varint(n int) int { return max(1, (bits.Len(uint(n)<<1)+6)/7) }

// mostSizeOf is a bound on aloneSizeOf that costs nothing: of the headers it knows the
// JSON text alone. JSON is longer than what it stands for, but where bytes that are no
// UTF-8 are replaced by three each; and a header takes five bytes of it at least.
func mostSizeOf(r *relay.Record) int {
	const plain = 256 // the batch, the record, and our own headers without the type
	return plain + len(r.Type) + len(r.Key) + len(r.Payload) + 5*len(r.Headers)
}
