package invariants

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/examples/shop/events"
)

// consumers are the groups of the shop and the topics that each has to read. It is a list, and not what Kafka knows: a
// group that never began to read is unknown to Kafka, and has everything left.
func (a *Auditor) consumers(ctx context.Context) (map[string][]string, error) {
	groups := map[string][]string{
		"stock":    {events.StockCommands, events.Orders, events.Payments},
		"payments": {events.PaymentCommands, events.Stock},
		"orders":   {events.OrderCommands, events.Stock, events.Payments, events.OrderTimeouts},
	}
	for _, shard := range a.shardNames() {
		groups["customers-of-"+shard] = []string{events.Customers}
	}
	var generation int64
	if err := a.numbers(ctx, "gateway", liveGeneration, &generation); err != nil {
		return nil, err
	}
	groups[fmt.Sprint("order-view-", generation)] = []string{
		events.Customers, events.Orders, events.Stock, events.Payments,
	}
	if err := a.numbers(ctx, a.listShard(), liveList, &generation); err != nil {
		return nil, err
	}
	groups[fmt.Sprint("order-list-", generation)] = []string{events.Orders}
	return groups, nil
}

// lag is how many messages consumers have not handled yet.
func (a *Auditor) lag(ctx context.Context) (lag int64, err error) {
	if a.kafka == nil {
		return 0, nil
	}
	groups, err := a.consumers(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var topics []string
	for _, topic := range events.KafkaTopics() {
		topics = append(topics, a.options.Kafka.Topic(topic))
	}
	ends, err := a.offsets(ctx, a.kafka.ListEndOffsets, topics)
	if err != nil {
		return 0, err
	}
	starts, err := a.offsets(ctx, a.kafka.ListStartOffsets, topics)
	if err != nil {
		return 0, err
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		read, err := a.kafka.FetchOffsets(ctx, a.options.Kafka.Prefix+group)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return 0, fmt.Errorf("group %s: %w", group, err)
		}
		for _, topic := range groups[group] {
			topic = a.options.Kafka.Topic(topic)
			for partition, end := range ends[topic] {
				next := starts[topic][partition].Offset
				if at, found := read.Lookup(topic, partition); found && at.Err == nil {
					next = max(next, at.At)
				}
				lag += max(0, end.Offset-next)
			}
		}
	}
	return lag, nil
}

func (a *Auditor) offsets(
	ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string,
) (kadm.ListedOffsets, error) {
	offsets, err := list(ctx, topics...)
	if err == nil {
		err = offsets.Error()
	}
	return offsets, err
}
