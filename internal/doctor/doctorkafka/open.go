package doctorkafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/postroom/postroom/internal/kafkatx"
)

// between is the time between two looks at a transaction. A transaction that is just ending is gone at the
// second look.
const between = time.Second

// Open finds partitions in which readers of committed records do not get to the end. It queries the
// transactions of those partitions whose first unreadable record is old.
func (k *Kafka) Open(ctx context.Context, age time.Duration, topics ...string) ([]kafkatx.Open, error) {
	stuck, err := k.stuck(ctx, age, topics)
	if err != nil || len(stuck) == 0 {
		return nil, err
	}
	first := k.openIn(ctx, stuck)
	pause := time.NewTimer(between)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-pause.C:
	}
	if stuck, err = k.stuck(ctx, age, topics); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(k.openIn(ctx, stuck), func(o kafkatx.Open) bool {
		return !slices.ContainsFunc(first, func(before kafkatx.Open) bool { return before.Key() == o.Key() })
	}), nil
}

// stuck returns the offset up to which readers of committed records get. It does so for partitions whose
// first unreadable record is at least age old, by the record's own time.
func (k *Kafka) stuck(ctx context.Context, age time.Duration, topics []string) (map[string]map[int32]int64, error) {
	// Ask for the records' times first, so that a commit between the two answers is not reported.
	young, err := k.admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-age).UnixMilli(), topics...)
	if err = partly(len(young), err); err != nil {
		return nil, fmt.Errorf("ask where records of the last %s begin: %w", age, err)
	}
	stable, err := k.admin.ListCommittedOffsets(ctx, topics...)
	if err = partly(len(stable), err); err != nil {
		return nil, fmt.Errorf("ask how far committed records go: %w", err)
	}
	stuck := make(map[string]map[int32]int64)
	stable.Each(func(at kadm.ListedOffset) {
		from, ok := young.Lookup(at.Topic, at.Partition)
		if !ok || from.Err != nil || at.Err != nil || at.Offset >= from.Offset {
			return
		}
		if stuck[at.Topic] == nil {
			stuck[at.Topic] = make(map[int32]int64)
		}
		stuck[at.Topic][at.Partition] = at.Offset
	})
	return stuck, nil
}

// partly ignores that some of the brokers did not answer, because the check topics.leader reports that.
func partly(answered int, err error) error {
	var some *kadm.ShardErrors
	if answered > 0 && errors.As(err, &some) {
		return nil
	}
	return err
}

// askedTopics bounds the number of topics whose open transactions are queried.
const askedTopics = 20

// openIn returns the oldest transaction of each partition. It sends a request for each topic, because a topic
// that this user may not read must not hide the others.
func (k *Kafka) openIn(ctx context.Context, stuck map[string]map[int32]int64) (list []kafkatx.Open) {
	for i, topic := range slices.Sorted(maps.Keys(stuck)) {
		if i >= askedTopics {
			break
		}
		partitions := make(kadm.TopicsSet)
		for partition := range stuck[topic] {
			partitions.Add(topic, partition)
		}
		found, err := kafkatx.Find(ctx, k.admin, partitions)
		seen := make(map[int32]bool)
		for _, o := range found {
			if !seen[o.Partition] {
				seen[o.Partition], list = true, append(list, o)
			}
		}
		for partition, offset := range stuck[topic] {
			if err != nil && !seen[partition] {
				list = append(list, kafkatx.Open{
					Topic: topic, Partition: partition, ProducerID: -1, StartOffset: offset, State: kafkatx.Unknown,
				})
			}
		}
	}
	kafkatx.Sort(list)
	return list
}
