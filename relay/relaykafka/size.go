package relaykafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkarules"
)

const (
	// kgoFraming is what kgo counts beyond a batch: the length before it.
	kgoFraming = 4

	// batchFraming is more than what a batch adds to its only record, without headers.
	batchFraming = 128

	// requestFraming is more than what a request adds to its only batch. A
	// broker takes requests of 100 MiB (socket.request.max.bytes).
	requestFraming = 1024

	// smallestBatch is the least that kgo accepts as a limit.
	smallestBatch = 512
)

// aloneSize is the size of a batch that holds the record alone (kafkarules.AloneSize).
func aloneSize(r *kgo.Record) int {
	bytes := 0
	for i := range r.Headers {
		bytes += kafkarules.Field(len(r.Headers[i].Key)) + kafkarules.Field(len(r.Headers[i].Value))
	}
	return kafkarules.BatchSize(len(r.Key), len(r.Value), len(r.Headers), bytes)
}
