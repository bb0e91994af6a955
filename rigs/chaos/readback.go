package chaos

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/internal/kafkaread"
)

// readBack visits every record of the topics from the beginning to the current end. In exactly-once mode it
// reads only committed transactions, as consumers must do. Otherwise it reads everything.
func readBack(ctx context.Context, brokers string, topics []string, mode Mode, visit func(*kgo.Record)) error {
	level := kgo.ReadUncommitted()
	if mode == ExactlyOnce {
		level = kgo.ReadCommitted()
	}
	return kafkaread.ToEnd(ctx, strings.Split(brokers, ","), topics, level, visit)
}

// arrival reads a record as any consumer would: the id from the header, the version from the value. A part
// that cannot be read stays zero, and then differs from what was committed.
func arrival(r *kgo.Record) history.Arrival {
	a := history.Arrival{
		Event:     history.Event{Topic: r.Topic, Key: string(r.Key), Sum: crc32.ChecksumIEEE(r.Value)},
		Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp,
	}
	for _, h := range r.Headers {
		if h.Key == "_watermill_message_uuid" {
			a.ID, _ = uuid.ParseBytes(h.Value)
		}
	}
	var b body
	if json.Unmarshal(r.Value, &b) == nil {
		a.Version = b.Version
	}
	return a
}
