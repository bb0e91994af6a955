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

// startWithoutOffset settles where to begin in partitions without a position, and returns them, so that it is
// committed: a group that has handled messages then has one, and who finds none knows that the group is new,
// was renamed, or has expired (the brokers' offsets.retention.minutes, 7 days, after its
// last member has gone).
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
				continue // the log's end is not known now: franz-go asks for it until it is
			}
			offsets[topic][id] = offset
			began = append(began, partitionName{topic, id})
		}
	}
	return began, nil
}

// placeAtLogEnd puts in the offset at which each partition is begun: at StartOffset; but one that was added to a topic
// which the group has consumed begins at its start, as what came before it was seen is new to the group. known are the
// topics that the database says so of.
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
	// What is committed by then, as ListEndOffsets would not say: a transaction that is open is still to come.
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
				continue // it must not hold up the member's other partitions
			}
			if at.Err != nil {
				return fmt.Errorf("inboxkafka: topic %q, partition %d: read where to begin: %w", topic, id, at.Err)
			}
			without[topic][id] = kgo.NewOffset().At(at.Offset)
		}
	}
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

// checkPruned refuses to begin where the inbox has forgotten what it knew: it has ids of a partition, and there
// are messages before the first of them. Those were handled by a group that has expired or had another name, and
// what was pruned would be applied again (hazard expired-group).
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
			// The log may begin with what is no message: aborted transactions, or what compaction left.
			message, err := m.firstMessage(ctx, name, at, first)
			if err != nil {
				return err
			}
			if message < first {
				_, table, _ := strings.Cut(m.cfg.Inbox.Tables(), ":")
				return refuse("group %q has no offset in topic %q, partition %d, but consumer %q has handled messages of it, of "+
					"which the ids below offset %d were pruned: read from offset %d on, they would be applied again. The group has "+
					"expired (offsets.retention.minutes), or its name is another: give it the old one, commit the offset to go on "+
					"at, or set AdoptOffsets. Or the topic was made anew: then delete what is left of the old one: DELETE FROM %s "+
					"WHERE consumer = '%s' AND kafka_topic = '%s'",
					m.cfg.Group, topic, id, m.cfg.Inbox.Consumer(), first, message, table, m.cfg.Inbox.Consumer(), topic)
			}
		}
	}
	return nil
}

// firstMessage returns the offset of the first message of a partition from an offset on, or below, if there is none
// before that.
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
		return fail(errors.Join(end.Err, errors.New("the log's end is not known")))
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

// lookTimeout is well below a session's.
const lookTimeout = 10 * time.Second

// checkIDsNotNeeded refuses partitions whose position the database has not had yet, though it has ids of
// their messages: the group's offset lags behind these, and what lies between would be applied twice without them.
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
			return refuse("topic %q, partition %d was consumed with ids, and the database has no position for it yet: begun "+
				"without them, what the group's offset lags behind would be applied twice; run %s first without "+
				"ExactlyOnceTopics, until `relay inbox status` shows a position of each partition, or set AdoptOffsets once the "+
				"lag is nothing",
				name.topic, name.id, OffsetsInDatabase)
		}
	}
	return nil
}

// recordIdle gives partitions a position in the database in which the group has done all there is: a message that would
// move it may never come, and until then nobody can do without ids.
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
