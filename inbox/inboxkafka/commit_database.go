package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/groupoffset"
)

// recordApplied writes the offsets of partitions to the database. It removes from sent the partitions whose offsets
// must not be committed to Kafka: an offset that the database does not have could skip messages after a restore.
func (m *member) recordApplied(ctx context.Context, sent map[*partition]position) error {
	m.dropUnverified(ctx, sent)
	var rows []inbox.GroupPosition
	for p, next := range sent {
		// With OffsetsInDatabase, the handler's transactions move the offset.
		if topicID, noted := p.topic(); noted && m.cfg.Mode != OffsetsInDatabase {
			rows = append(rows, inbox.GroupPosition{Topic: p.name.topic, Partition: p.name.id, TopicID: topicID,
				Applied: next.offset, Noted: p.notedAt})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	// Always in the same order, so that this member and a late one do not deadlock.
	slices.SortFunc(rows, func(a, b inbox.GroupPosition) int {
		return compareNames(partitionName{a.Topic, a.Partition}, partitionName{b.Topic, b.Partition})
	})
	all, err := m.cfg.Inbox.RaiseApplied(ctx, m.cfg.DB, m.cfg.Group, rows)
	if err == nil && !all {
		err = m.dropChanged(ctx, sent)
	}
	if err != nil {
		for p := range sent {
			if _, noted := p.topic(); noted {
				delete(sent, p)
			}
		}
		return fmt.Errorf("inboxkafka: offsets must be written to the database before they are committed to Kafka: %w",
			err)
	}
	for p, next := range sent {
		p.notedAt = next.offset
	}
	return nil
}

// dropChanged removes from sent the partitions whose row has changed since they were assigned.
func (m *member) dropChanged(ctx context.Context, sent map[*partition]position) error {
	var topics []string
	for p := range sent {
		topics = append(topics, p.name.topic)
	}
	slices.Sort(topics)
	positions, kept, err := m.cfg.Inbox.GroupPositions(ctx, m.cfg.DB, slices.Compact(topics))
	if err != nil || !kept {
		return errors.Join(err, errors.New("the rows of inbox_offsets cannot be read"))
	}
	rows := make(map[partitionName]inbox.GroupPosition)
	for _, row := range positions {
		rows[partitionName{row.Topic, row.Partition}] = row
	}
	for p, next := range sent {
		row, there := rows[p.name]
		topicID, noted := p.topic()
		switch {
		case !noted:
		case !there && p.notedAt > 0: // it existed before
			m.fail(m.databaseHasNothing(inbox.GroupPosition{Topic: p.name.topic, Partition: p.name.id}, p.notedAt))
			delete(sent, p)
		case !there:
			to := inbox.GroupPosition{Topic: p.name.topic, Partition: p.name.id, Group: m.cfg.Group, TopicID: topicID,
				Applied: next.offset, Next: -1}
			if err := m.cfg.Inbox.ClaimGroupPosition(ctx, m.cfg.DB, nil, to); err != nil {
				return err
			}
		case row.Group != m.cfg.Group:
			m.fail(m.otherGroup(row))
			delete(sent, p)
		case row.TopicID != topicID:
			m.log.Warn("inboxkafka: the topic was recreated, and another member already reads the new one: the "+
				"offset is not committed",
				"topic", p.name.topic, "partition", p.name.id, "topic_id", topicID, "new_topic_id", row.TopicID)
			p.recreated = true
			delete(sent, p)
		case row.Applied < p.notedAt:
			m.fail(m.databaseIsBehind(row, p.notedAt, groupoffset.Mark{Ours: true}))
			delete(sent, p)
		}
	}
	return nil
}

// dropUnverified removes from sent the partitions whose topic was unknown to a broker, until a broker confirms that the
// topic is the same.
func (m *member) dropUnverified(ctx context.Context, sent map[*partition]position) {
	var topics []string
	for p := range sent {
		if p.isUnverified() {
			topics = append(topics, p.name.topic)
		}
	}
	if len(topics) == 0 {
		return
	}
	slices.Sort(topics)
	ids, err := m.topicIDs(ctx, slices.Compact(topics))
	for p := range sent {
		id, topicID := ids[p.name.topic], ""
		if topicID, _ = p.topic(); !p.isUnverified() {
			continue
		}
		switch {
		case err == nil && id == topicID:
			p.mu.Lock()
			p.unverified = false
			p.mu.Unlock()
			continue
		case err == nil && id != "":
			p.recreated = true
			m.log.Warn("inboxkafka: the topic was recreated: the offset of the old one is not committed",
				"topic", p.name.topic, "partition", p.name.id, "topic_id", topicID, "new_topic_id", id)
		default:
			m.wakeCommitter() // try again until the broker knows it
		}
		delete(sent, p)
	}
}
