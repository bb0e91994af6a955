package inboxkafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/groupoffset"
)

// addMetadata writes the consumer name, the tables and the topic id into the metadata of each offset. With another
// consumer name or other tables the offset would skip messages that were never handled there.
func (m *member) addMetadata(r *kmsg.OffsetCommitRequest) error {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			metadata := groupoffset.UnnotedMark + m.owner()
			if p := m.partition(partitionName{r.Topics[i].Topic, r.Topics[i].Partitions[j].Partition}); p != nil {
				if topicID, noted := p.topic(); noted {
					metadata = groupoffset.NotedMark + m.owner() + groupoffset.TopicMark + topicID
				}
			}
			if m.withoutIDs(r.Topics[i].Topic) {
				metadata += groupoffset.NoIDsMark
			}
			r.Topics[i].Partitions[j].Metadata = &metadata
		}
	}
	return nil
}

func (m *member) owner() string {
	return fmt.Sprintf("consumer=%q tables=%s", m.cfg.Inbox.Consumer(), m.cfg.Inbox.Tables())
}

// withoutIDs reports whether only the position of the topic says what was handled.
func (m *member) withoutIDs(topic string) bool {
	return m.cfg.Mode == OffsetsInDatabase && slices.Contains(m.cfg.ExactlyOnceTopics, topic)
}

// committedMarks returns the metadata of the group's offsets in our topics. It fails if any of them was committed for
// another consumer or other tables, even in a partition of another member, because that may be ours next.
func (m *member) committedMarks(ctx context.Context) (map[partitionName]groupoffset.Mark, error) {
	committed, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.cfg.Group)
	if err != nil {
		return nil, fmt.Errorf("inboxkafka: read the offsets of group %q: %w", m.cfg.Group, err)
	}
	marks := make(map[partitionName]groupoffset.Mark)
	for _, at := range committed.Sorted() {
		if !slices.Contains(m.cfg.Topics, at.Topic) {
			continue
		}
		theirs := groupoffset.ParseMark(at.Metadata)
		switch {
		case theirs.Whose == "" || theirs.Whose == m.owner() && !theirs.WithoutIDs:
		case m.cfg.AdoptOffsets:
			theirs = groupoffset.Mark{TopicID: theirs.TopicID}
		case theirs.Whose != m.owner():
			return nil, cannotContinue(
				"the offset of group %q in topic %q, partition %d was committed for %s, but this is "+
					"%s: two inboxes must not share a group; give each its own group, or set AdoptOffsets if this one "+
					"takes over",
				m.cfg.Group, at.Topic, at.Partition, theirs.Whose, m.owner())
		case m.cfg.Mode != OffsetsInDatabase:
			return nil, cannotContinue(
				"topic %q was consumed with %s and without ids, and the group's offset is behind the "+
					"database: with %s the messages in between would be applied twice; keep that mode, or set "+
					"AdoptOffsets when the lag is 0",
				at.Topic, OffsetsInDatabase, m.cfg.Mode)
		}
		marks[partitionName{at.Topic, at.Partition}] = theirs
	}
	return marks, nil
}
