package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchFailed handles an error of a fetch that franz-go reports. franz-go retries most other errors itself.
func (m *member) fetchFailed(topic string, partition int32, err error) {
	var lost *kgo.ErrDataLoss
	var tooLarge *kgo.ErrDecompressTooLarge
	if p := m.partition(partitionName{topic, partition}); p != nil && isUnknownTopic(err) {
		p.markUnverified()
	}
	switch {
	case errors.Is(err, errNoRoom): // it is fetched again
	case m.ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed):
	case groupAdvice(err) != "":
		m.fail(fmt.Errorf("inboxkafka: group %q: %w: %s", m.cfg.Group, err, groupAdvice(err)))
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &lost) && m.cfg.ResetOffset == "":
		m.fail(fmt.Errorf("inboxkafka: the position of group %q in topic %q, partition %d is outside the log (%w): "+
			"retention deleted unread records, or the topic was recreated; set ResetOffset to say where to continue",
			m.cfg.Group, topic, partition, err))
	case errors.As(err, &tooLarge):
		// franz-go stops reading the partition, without any further error.
		m.fail(fmt.Errorf("inboxkafka: topic %q, partition %d: %w: raise the limit with Options: "+
			"kgo.MaxDecompressBatchBytes",
			topic, partition, err))
	case errors.Is(err, kerr.UnknownTopicID) && m.topicGone(topic):
		// franz-go asks for the topic by its old id, forever.
		m.fail(fmt.Errorf("inboxkafka: the brokers do not know topic %q since %v (%w): it was deleted or recreated; "+
			"start the consumer again when the topic exists: the group begins at its start",
			topic, m.cfg.unknownAfter, err))
	case m.fetchError != err.Error(): // once for each change
		m.fetchError = err.Error()
		about := []any{"error", err}
		if topic != "" { // otherwise the error is about the group
			about = append(about, "topic", topic, "partition", partition)
		}
		m.log.Warn("inboxkafka: cannot fetch, trying again", about...)
	}
}

// checkTopic ends Run if records come from another topic of the same name than the one that was assigned. Their offsets
// belong to other messages.
func (m *member) checkTopic(t kgo.FetchTopic) {
	id := idText(t.TopicID)
	for _, fetched := range t.Partitions {
		p := m.partition(partitionName{t.Topic, fetched.Partition})
		if p == nil || id == "" || len(fetched.Records) == 0 {
			continue
		}
		if topicID, _ := p.topic(); topicID != "" && topicID != id {
			m.fail(fmt.Errorf("inboxkafka: topic %q was recreated while it was consumed: its id was %s and is now "+
				"%s; start the consumer again: the group begins at its start", t.Topic, topicID, id))
		}
	}
}

// groupAdvice says what to do about an error of the group that a retry cannot solve. It is empty for other errors.
func groupAdvice(err error) string {
	switch {
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return "its other members, perhaps Java clients, use an assignment strategy that this one does not have: " +
			"stop them first, use another group, or set Options: kgo.Balancers to a strategy that all members have"
	case errors.Is(err, kerr.FencedInstanceID):
		return "another process has joined with the same instance id and replaced this one: give each process its " +
			"own id (Options: kgo.InstanceID), or stop one of the two"
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return "the brokers do not allow this session timeout: set Options: kgo.SessionTimeout to a value between " +
			"their group.min.session.timeout.ms and group.max.session.timeout.ms"
	case errors.Is(err, kerr.InvalidGroupID):
		return "the brokers do not allow this name: change Config.Group"
	}
	return ""
}

// unknownTopic says since when brokers report a topic as unknown.
type unknownTopic struct{ first, last time.Time }

// denialPause is the longest time between two errors of one outage: franz-go reports an unknown topic several times a
// second.
const denialPause = 5 * time.Second

// topicGone reports whether a topic has been unknown for long enough, without a pause. Just after a restart brokers
// report existing topics as unknown.
func (m *member) topicGone(topic string) bool {
	now := time.Now()
	d := m.unknownTopics[topic]
	if now.Sub(d.last) > denialPause {
		d.first = now
	}
	d.last = now
	m.unknownTopics[topic] = d
	return now.Sub(d.first) >= m.cfg.unknownAfter
}
