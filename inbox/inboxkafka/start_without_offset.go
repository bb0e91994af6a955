package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startWithoutOffset decides where to begin in partitions without a position, and returns these partitions. Their start
// is committed, so that a group which has handled messages always has an offset. If there is no offset, then the group
// is new, was renamed, or has expired (offsets.retention.minutes of the brokers, 7 days after the last member has
// left).
func (m *member) startWithoutOffset(ctx context.Context, offsets map[string]map[int32]kgo.Offset,
	known map[string]bool) (began []partitionName, err error) {
	without := make(map[string]map[int32]kgo.Offset)
	for topic, ids := range offsets {
		for id, offset := range ids {
			if offset.EpochOffset().Offset < 0 {
				if without[topic] == nil {
					without[topic] = make(map[int32]kgo.Offset)
				}
				without[topic][id] = offset
			}
		}
	}
	if len(without) == 0 {
		return nil, nil
	}
	if err := m.placeAtLogEnd(ctx, without, known); err != nil {
		return nil, err
	}
	if !m.cfg.AdoptOffsets {
		if err := m.checkPruned(ctx, without); err != nil {
			return nil, err
		}
	}
	for topic, ids := range without {
		for id, offset := range ids {
			if offset.EpochOffset().Offset < 0 {
				continue // the end of the log is not known yet; franz-go asks for it
			}
			offsets[topic][id] = offset
			began = append(began, partitionName{topic, id})
		}
	}
	return began, nil
}

// placeAtLogEnd sets the offset at which each partition begins. This is StartOffset. But a new partition of a topic
// that the group already reads begins at its start, because all its messages are new to the group. known has the topics
// for which the database has a position.
func (m *member) placeAtLogEnd(ctx context.Context, without map[string]map[int32]kgo.Offset,
	known map[string]bool) error {
	admin := kadm.NewClient(m.client)
	if m.cfg.StartOffset == Latest {
		committed, err := admin.FetchOffsets(ctx, m.cfg.Group)
		if err != nil {
			return fmt.Errorf("inboxkafka: read the offsets of group %q: %w", m.cfg.Group, err)
		}
		committed.Each(func(o kadm.OffsetResponse) { known[o.Topic] = known[o.Topic] || o.At >= 0 })
	}
	starts, err := admin.ListStartOffsets(ctx, topicsOf(without)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read where the logs begin: %w", err)
	}
	// Committed offsets, because ListEndOffsets would also count records of open transactions, which come later.
	ends, err := admin.ListCommittedOffsets(ctx, topicsOf(without)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read where the logs end: %w", err)
	}
	for topic, ids := range without {
		for id := range ids {
			list := starts
			if m.cfg.StartOffset == Latest && !known[topic] {
				list = ends
			}
			at, ok := list.Lookup(topic, id)
			if !ok || kerr.IsRetriable(at.Err) {
				continue // the member's other partitions must not wait for it
			}
			if at.Err != nil {
				return fmt.Errorf("inboxkafka: topic %q, partition %d: read the offset at which to begin: %w", topic,
					id, at.Err)
			}
			without[topic][id] = kgo.NewOffset().At(at.Offset)
		}
	}
	return nil
}

// begin lets the next commit include the start of the partition.
func (p *partition) begin(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.low.moved {
		p.low.next, p.low.moved = position{at, -1}, true
	}
}

// checkPruned fails if the log has messages before the first id that the inbox has of the partition. A group that has
// expired, or that had another name, has handled them. Their ids were pruned, so they would be applied again (hazard
// expired-group).
func (m *member) checkPruned(ctx context.Context, begin map[string]map[int32]kgo.Offset) error {
	lowest, err := m.lowest(ctx)
	if err != nil || len(lowest) == 0 {
		return err
	}
	for topic, ids := range begin {
		for id, offset := range ids {
			name, at := partitionName{topic, id}, offset.EpochOffset().Offset
			first, known := lowest[name]
			if !known || at < 0 || at >= first {
				continue
			}
			// The log may begin with records that are no messages, such as aborted transactions.
			message, err := m.firstMessage(ctx, name, at, first)
			if err != nil {
				return err
			}
			if message < first {
				_, table, _ := strings.Cut(m.cfg.Inbox.Tables(), ":")
				return cannotContinue("group %q has no offset in topic %q, partition %d, but consumer %q has handled "+
					"messages of it. The ids below offset %d were pruned, so the messages from offset %d on would be "+
					"applied again. If the group was renamed, use the old name. If it has expired "+
					"(offsets.retention.minutes), commit the offset at which to continue, or set "+
					"AdoptOffsets. If the topic was recreated, delete the rows of the old one: DELETE "+
					"FROM %s WHERE consumer = '%s' AND kafka_topic = '%s'",
					m.cfg.Group, topic, id, m.cfg.Inbox.Consumer(), first, message, table, m.cfg.Inbox.Consumer(),
					topic)
			}
		}
	}
	return nil
}

// firstMessage returns the offset of the first message of a partition at or after from. It returns below if there is
// none before below.
func (m *member) firstMessage(ctx context.Context, name partitionName, from, below int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("inboxkafka: topic %q, partition %d: look for messages before offset %d: %w", name.topic,
			name.id, below, err)
	}
	ends, err := kadm.NewClient(m.client).ListCommittedOffsets(ctx, name.topic)
	if err != nil {
		return fail(err)
	}
	end, ok := ends.Lookup(name.topic, name.id)
	if !ok || end.Err != nil {
		return fail(errors.Join(end.Err, errors.New("the end of the log is not known")))
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{kgo.FetchMaxWait(fetchWait)}, m.cfg.Options...),
		kgo.SeedBrokers(m.cfg.Brokers...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name.topic: {name.id: kgo.NewOffset().At(from)}}))...)
	if err != nil {
		return fail(err)
	}
	defer client.Close()
	for next := from; next < min(below, end.Offset); {
		fetches := client.PollRecords(ctx, 100)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return fail(err)
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			if next = r.Offset + 1; !r.Attrs.IsControl() {
				return min(r.Offset, below), nil
			}
		}
	}
	return below, nil
}

// lookTimeout is much shorter than the session timeout of the group.
const lookTimeout = 10 * time.Second

// checkIDsNotNeeded fails for partitions of which the database has message ids but no position. The group's offset is
// behind these messages, so without ids they would be applied twice.
func (m *member) checkIDsNotNeeded(ctx context.Context, withoutPosition []partitionName) error {
	if len(withoutPosition) == 0 {
		return nil
	}
	lowest, err := m.lowest(ctx)
	if err != nil {
		return err
	}
	for _, name := range withoutPosition {
		if _, known := lowest[name]; known {
			return cannotContinue(
				"topic %q, partition %d was consumed with ids, and the database has no position for it "+
					"yet: without ids, messages after the group's offset would be applied twice; first run %s without "+
					"ExactlyOnceTopics until `relay inbox status` shows a position for each partition, or set "+
					"AdoptOffsets when the lag is 0",
				name.topic, name.id, OffsetsInDatabase)
		}
	}
	return nil
}

// recordIdle writes a position to the database for partitions whose messages are all handled. Without it, such a
// partition would get a position only with its next message, and until then it could not be consumed without ids.
func (m *member) recordIdle(ctx context.Context, idle []partitionName, offsets map[string]map[int32]kgo.Offset) error {
	if len(idle) == 0 {
		return nil
	}
	ends, err := kadm.NewClient(m.client).ListEndOffsets(ctx, topicsOf(offsets)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read where the logs end: %w", err)
	}
	for _, name := range idle {
		at := offsets[name.topic][name.id].EpochOffset().Offset
		if end, ok := ends.Lookup(name.topic, name.id); !ok || end.Err != nil || at < 0 || at != end.Offset {
			continue
		}
		if err := m.partition(name).claim.Skip(ctx, m.cfg.DB, at); err != nil {
			return err
		}
	}
	return nil
}

// lowest returns, for each partition, the lowest offset of which the inbox has an id.
func (m *member) lowest(ctx context.Context) (map[partitionName]int64, error) {
	positions, err := m.cfg.Inbox.LowestPositions(ctx, m.cfg.DB)
	if err != nil {
		return nil, err
	}
	lowest := make(map[partitionName]int64, len(positions))
	for _, at := range positions {
		lowest[partitionName{at.Topic, at.Partition}] = at.Offset
	}
	return lowest, nil
}
