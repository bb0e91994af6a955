package kafkarules

import (
	"fmt"
	"math/bits"

	"github.com/postroom/postroom/relay"
)

// What Kafka compares with max.message.bytes is a record batch as it comes in: its
// header and its records. So the largest record is the one that fits when it is alone.
//
// Sizes are those before compression. A record that would fit only compressed is
// rejected, because whether it fits must not depend on its neighbours in the batch.

// batchHeader is a record batch without records: KIP-98, message format 2.
const batchHeader = 61

// BatchSize is the size of a batch that holds one record: its key and value are as many
// bytes, and its headers, counted by Field, headerBytes.
func BatchSize(key, value, headers, headerBytes int) int {
	const attributesAndDeltas = 3 // of the first record in a batch
	record := attributesAndDeltas + Field(key) + Field(value) + varint(headers) + headerBytes
	return batchHeader + varint(record) + record
}

// AloneSize is BatchSize of a record with these headers.
func AloneSize(r *relay.Record, headers []relay.Header) int {
	bytes := 0
	for i := range headers {
		bytes += Field(len(headers[i].Name)) + Field(len(headers[i].Value))
	}
	return BatchSize(len(r.Key), len(r.Payload), len(headers), bytes)
}

// MostSize is a bound on AloneSize that costs nothing: of the headers it knows the
// JSON text alone. JSON is longer than what it stands for, but where bytes that are no
// UTF-8 are replaced by three each; and a header takes five bytes of it at least.
func MostSize(r *relay.Record) int {
	const plain = 256 // the batch, the record, and our own headers without the type
	return plain + len(r.Type) + len(r.Key) + len(r.Payload) + 5*len(r.Headers)
}

// MayBeObject is false for text that is no JSON object. Whether it is one is left to the
// encoder: to read all headers twice would cost more than the records that it finds.
func MayBeObject(text []byte) bool {
	return len(text) == 0 || text[0] == '{' && text[len(text)-1] == '}'
}

// Field is the size of n bytes with their length before them; of null too, where n is 0.
func Field(n int) int { return varint(n) + n }

// varint is the size of n, which is not negative, as a zigzag varint.
func varint(n int) int { return max(1, (bits.Len(uint(n)<<1)+6)/7) }

// TooLargeForTopic is why a record whose batch has size bytes is rejected by a topic that
// takes limit.
func TooLargeForTopic(topic string, size, limit int) error {
	return fmt.Errorf("a record for topic %s makes a batch of %d bytes (before compression), and the topic takes %d: "+
		"raise its max.message.bytes",
		topic, size, limit)
}
