package inboxkafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// begin settles where to begin in partitions without a position, and has it committed: a group
// that has handled messages then has one, and who finds none knows that the group is new,
// was renamed, or has expired (the brokers' offsets.retention.minutes, 7 days, after its
// last member has gone).
func (m *member) begin(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
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
		return nil
	}
	list := kadm.NewClient(m.client).ListStartOffsets
	if m.cfg.StartOffset == Latest {
		// What is committed by then, as ListEndOffsets would not say: a transaction that is open is still to come.
		list = kadm.NewClient(m.client).ListCommittedOffsets
	}
	ends, err := list(ctx, topicsOf(without)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read where to begin: %w", err)
	}
	for topic, ids := range without {
		for id := range ids {
			at, _ := ends.Lookup(topic, id)
			if at.Err != nil {
				return fmt.Errorf("inboxkafka: topic %q, partition %d: read where to begin: %w", topic, id, at.Err)
			}
			without[topic][id] = kgo.NewOffset().At(at.Offset)
		}
	}
	if m.cfg.StartOffset == Earliest && !m.cfg.AdoptOffsets {
		if err := m.checkPruned(ctx, without); err != nil {
			return err
		}
	}
	for topic, ids := range without {
		for id, offset := range ids {
			offsets[topic][id] = offset
			if p := m.partition(partitionName{topic, id}); p != nil {
				p.begin(offset.EpochOffset().Offset)
			}
		}
	}
	m.wakeCommitter()
	return nil
}

// begin has the group told where the partition begins.
func (p *partition) begin(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.low.moved {
		p.low.next, p.low.moved = position{at, -1}, true
	}
}

// checkPruned refuses to begin where the inbox has forgotten what it knew: it has ids of a partition,
// and the log begins before the first of them. Those were handled by a group that has expired or had another
// name, and what was pruned before them would be applied again.
func (m *member) checkPruned(ctx context.Context, begin map[string]map[int32]kgo.Offset) error {
	lowest, err := m.lowest(ctx)
	if err != nil {
		return err
	}
	for topic, ids := range begin {
		for id, offset := range ids {
			at := offset.EpochOffset().Offset
			if first, known := lowest[partitionName{topic, id}]; known && at < first {
				return refuse("group %q has no offset in topic %q, partition %d, but consumer %q has handled messages of it, of which the ids below offset %d were pruned: read from the start of the log, offset %d, they would be applied again. The group has expired (offsets.retention.minutes), or its name is another: give it the old one, commit the offset to go on at, or set AdoptOffsets",
					m.cfg.Group, topic, id, m.cfg.Inbox.Consumer(), first, at)
			}
		}
	}
	return nil
}

// checkUntold refuses partitions whose position the database has not had yet, though it has ids of
// their messages: the group's offset lags behind these, and what lies between would be applied twice without them.
func (m *member) checkUntold(ctx context.Context, untold []partitionName) error {
	if len(untold) == 0 {
		return nil
	}
	lowest, err := m.lowest(ctx)
	if err != nil {
		return err
	}
	for _, name := range untold {
		if _, known := lowest[name]; known {
			return refuse("topic %q, partition %d was consumed with ids, and the database has no position for it yet: begun without them, what the group's offset lags behind would be applied twice; run %s first without ExactlyOnceTopics, until `relay inbox status` shows a position of each partition, or set AdoptOffsets once the lag is nothing",
				name.topic, name.id, OffsetsInDatabase)
		}
	}
	return nil
}

// lowest returns the lowest offset of each partition that the inbox has an id from.
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

// errBehind: see checkAhead.
var errBehind = errors.New("the log was cut")

// checkAhead refuses messages below the position of the database, which says that they are done: the log was
// cut under a member (an unclean election of a leader, with ResetOffset) and others have taken their offsets.
func (p *partition) checkAhead(offset int64) error {
	if next, known := p.hold.Next(); known && offset < next {
		return fmt.Errorf("%w: a message came at offset %d, and the database says that all below %d is done: what is there now is not known; to read it, delete the partition's row: DELETE FROM inbox_offsets WHERE consumer = '%s' AND kafka_topic = '%s' AND kafka_partition = %d",
			errBehind, offset, next, p.m.cfg.Inbox.Consumer(), p.name.topic, p.name.id)
	}
	return nil
}
