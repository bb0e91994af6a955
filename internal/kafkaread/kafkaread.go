// Package kafkaread reads what topics hold, as a consumer of its own that knows nothing of the relay. What is judged
// by what arrived reads with it: relay demo, the conformance suite, rigs/chaos and the tests of the sinks.
package kafkaread

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ToEnd visits every record of the topics from the beginning to the present end. Records of a partition come in their
// order. With kgo.ReadCommitted it waits until no transaction is open there, because what such a transaction wrote
// may still become committed. opts set up the client further, for example its credentials.
func ToEnd(
	ctx context.Context, brokers, topics []string, level kgo.IsolationLevel, visit func(*kgo.Record), opts ...kgo.Opt,
) error {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level),
		// The end of a transaction takes an offset too: without these the last offset would never be seen.
		kgo.KeepControlRecords(),
	}, opts...)...)
	if err != nil {
		return fmt.Errorf("read topics %v: %w", topics, err)
	}
	defer client.Close()
	left, err := unread(ctx, kadm.NewClient(client), topics, level)
	if err != nil {
		return fmt.Errorf("read topics %v: %w", topics, err)
	}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topics %v: %w", topics, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				visit(r)
			}
			if at := (partition{r.Topic, r.Partition}); r.Offset+1 >= left[at] {
				delete(left, at)
			}
		})
	}
	return nil
}

// Records returns what ToEnd visits in one topic.
func Records(
	ctx context.Context, brokers []string, topic string, level kgo.IsolationLevel, opts ...kgo.Opt,
) (records []*kgo.Record, err error) {
	err = ToEnd(ctx, brokers, []string{topic}, level, func(r *kgo.Record) { records = append(records, r) }, opts...)
	return records, err
}

type partition struct {
	topic  string
	number int32
}

// unread returns the end of each partition that is not empty.
func unread(
	ctx context.Context, admin *kadm.Client, topics []string, level kgo.IsolationLevel,
) (map[partition]int64, error) {
	starts, err := listed(admin.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, err
	}
	open := false // as the last round found it
	for {
		ends, err := listed(admin.ListEndOffsets(ctx, topics...))
		if err != nil {
			return nil, whileOpen(open, err)
		}
		stable := ends
		if level == kgo.ReadCommitted() {
			if stable, err = listed(admin.ListCommittedOffsets(ctx, topics...)); err != nil {
				return nil, whileOpen(open, err)
			}
		}
		left := make(map[partition]int64)
		open = false
		ends.Each(func(end kadm.ListedOffset) {
			if start, _ := starts.Lookup(end.Topic, end.Partition); start.Offset < end.Offset {
				left[partition{end.Topic, end.Partition}] = end.Offset
			}
			s, ok := stable.Lookup(end.Topic, end.Partition)
			open = open || !ok || s.Offset < end.Offset
		})
		if !open {
			return left, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, whileOpen(open, ctx.Err())
		}
	}
}

func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = offsets.Error()
	}
	return offsets, err
}

// whileOpen says of an error that a transaction was open when it came: that is why there was a wait.
func whileOpen(open bool, err error) error {
	if open {
		return fmt.Errorf("a transaction stays open: %w", err)
	}
	return err
}
