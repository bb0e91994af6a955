package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const partitions = 8

// broker is the Kafka under test.
type broker struct {
	addresses []string
	client    *kgo.Client
	admin     *kadm.Client
}

func openBroker(addresses []string) (*broker, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...))
	if err != nil {
		return nil, err
	}
	return &broker{addresses: addresses, client: client, admin: kadm.NewClient(client)}, nil
}

// newTopic creates an empty topic, and waits until every partition has a leader.
func (b *broker) newTopic(ctx context.Context) (string, error) {
	name, err := freshName("bench-")
	if err != nil {
		return "", err
	}
	created, err := b.admin.CreateTopic(ctx, partitions, 1, nil, name)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	for {
		if _, err = b.watermark(ctx, name); err == nil {
			return name, nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (b *broker) deleteTopic(ctx context.Context, name string) error {
	deleted, err := b.admin.DeleteTopic(ctx, name)
	if err == nil {
		err = deleted.Err
	}
	return err
}

// watermark returns how many records the topic holds: the sum of its high watermarks.
func (b *broker) watermark(ctx context.Context, topic string) (int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for p := range int32(partitions) {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p, -1
		of.Partitions = append(of.Partitions, partition)
	}
	request.Topics = append(request.Topics, of)
	response, err := request.RequestWith(ctx, b.client)
	if err != nil {
		return 0, fmt.Errorf("high watermarks of %s: %w", topic, err)
	}
	sum := int64(0)
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, fmt.Errorf("high watermark of %s, partition %d: %w", topic, p.Partition, err)
			}
			sum += p.Offset
		}
	}
	return sum, nil
}

// committed counts the records that a consumer of committed ones finds.
func (b *broker) committed(ctx context.Context, topic string) (int64, error) {
	ends, err := b.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("end of %s: %w", topic, err)
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition], from[o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addresses...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	n := int64(0)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return n, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				n++
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return n, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
