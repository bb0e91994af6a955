package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/history"
)

// readBack visits every record of the topics from the beginning to the present end, as a
// consumer of its own that knows nothing of the relay. Under exactly-once it reads
// committed transactions only, as that mode asks of consumers; else all there is.
func readBack(ctx context.Context, brokers string, topics []string, mode Mode, visit func(*kgo.Record)) error {
	isolation := kgo.ReadUncommitted()
	if mode == ExactlyOnce {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(isolation),
		// The end of a transaction takes an offset too: without these the last offset
		// would never be seen.
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	defer client.Close()
	open, err := ends(ctx, kadm.NewClient(client), topics)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				visit(r)
			}
			if at := (place{r.Topic, r.Partition}); r.Offset+1 >= open[at] {
				delete(open, at)
			}
		})
	}
	return nil
}

type place struct {
	topic     string
	partition int32
}

// ends returns the end of each partition that is not empty. While a transaction is open
// there are two ends, and what lies between them may still become committed: it waits
// until they are one.
func ends(ctx context.Context, admin *kadm.Client, topics []string) (map[place]int64, error) {
	for {
		all, err := admin.ListEndOffsets(ctx, topics...)
		if err == nil {
			err = all.Error()
		}
		if err != nil {
			return nil, err
		}
		stable, err := admin.ListCommittedOffsets(ctx, topics...)
		if err == nil {
			err = stable.Error()
		}
		if err != nil {
			return nil, err
		}
		open := make(map[place]int64)
		settled := true
		all.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 {
				open[place{o.Topic, o.Partition}] = o.Offset
			}
			s, ok := stable.Lookup(o.Topic, o.Partition)
			settled = settled && ok && s.Offset >= o.Offset
		})
		if settled {
			return open, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("a transaction stays open in %v: %w", topics, ctx.Err())
		}
	}
}

// arrival reads a record as any consumer would: the id from the header, the version from
// the value. What cannot be read stays zero, and is then not what was committed.
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
