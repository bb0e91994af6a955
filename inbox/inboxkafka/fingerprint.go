package inboxkafka

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is committed beside each offset. Builds before groups were remembered wrote the first mark, and no topic's id;
// those that read it skip what has the second.
const (
	unnotedMark = "postroom-inbox "
	notedMark   = "postroom-inbox/2 "
	topicMark   = " topic="
	noIDsMark   = " ids=none"
)

// mark is what a committed offset says of whom it is.
type mark struct {
	ours       bool   // a consumer's, which had noted it in its database first
	unnoted    bool   // a consumer's of an older build
	whose      string // its name and tables
	topicID    string
	withoutIDs bool
}

func parseMark(metadata string) mark {
	var m mark
	m.whose, m.withoutIDs = strings.CutSuffix(metadata, noIDsMark)
	if whose, ok := strings.CutPrefix(m.whose, notedMark); ok {
		m.ours, m.whose = true, whose
		if at := strings.LastIndex(whose, topicMark); at >= 0 {
			m.whose, m.topicID = whose[:at], whose[at+len(topicMark):]
		}
		return m
	}
	if whose, ok := strings.CutPrefix(m.whose, unnotedMark); ok {
		m.unnoted, m.whose = true, whose
		return m
	}
	return mark{} // set by hand, or by another client
}

// addFingerprints says beside each offset for whom, and in which topic of its name, it says that messages are done. With
// another consumer name or other tables it would say it of work that was never done there.
func (m *member) addFingerprints(r *kmsg.OffsetCommitRequest) error {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			metadata := unnotedMark + m.whose()
			if p := m.partition(partitionName{r.Topics[i].Topic, r.Topics[i].Partitions[j].Partition}); p != nil {
				if topicID, noted := p.known(); noted {
					metadata = notedMark + m.whose() + topicMark + topicID
				}
			}
			if m.withoutIDs(r.Topics[i].Topic) {
				metadata += noIDsMark
			}
			r.Topics[i].Partitions[j].Metadata = &metadata
		}
	}
	return nil
}

func (m *member) whose() string {
	return fmt.Sprintf("consumer=%q tables=%s", m.cfg.Inbox.Consumer(), m.cfg.Inbox.Tables())
}

// withoutIDs reports whether the topic's position alone tells what was handled.
func (m *member) withoutIDs(topic string) bool {
	return m.cfg.Mode == OffsetsInDatabase && slices.Contains(m.cfg.ExactlyOnceTopics, topic)
}

// marks returns what the group's offsets in our topics say. It refuses a group that has committed for another
// consumer or tables, in any partition: those that another member has now may be ours next.
func (m *member) marks(ctx context.Context) (map[partitionName]mark, error) {
	committed, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.cfg.Group)
	if err != nil {
		return nil, fmt.Errorf("inboxkafka: read the offsets of group %q: %w", m.cfg.Group, err)
	}
	marks := make(map[partitionName]mark)
	for _, at := range committed.Sorted() {
		if !slices.Contains(m.cfg.Topics, at.Topic) {
			continue
		}
		theirs := parseMark(at.Metadata)
		switch {
		case theirs.whose == "" || theirs.whose == m.whose() && !theirs.withoutIDs:
		case m.cfg.AdoptOffsets:
			theirs = mark{topicID: theirs.topicID}
		case theirs.whose != m.whose():
			return nil, refuse("the offset of group %q in topic %q, partition %d was committed for %s, and this is %s: two inboxes must not share a group; give each a group of its own, or set AdoptOffsets if this one takes over",
				m.cfg.Group, at.Topic, at.Partition, theirs.whose, m.whose())
		case m.cfg.Mode != OffsetsInDatabase:
			return nil, refuse("topic %q was consumed with %s and without ids, and the group's offset lags behind the database: with %s what lies between would be applied twice; stay with that mode, or set AdoptOffsets once the lag is nothing",
				at.Topic, OffsetsInDatabase, m.cfg.Mode)
		}
		marks[partitionName{at.Topic, at.Partition}] = theirs
	}
	return marks, nil
}
