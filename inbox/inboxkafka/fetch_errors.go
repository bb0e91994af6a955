package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchFailed judges an error that franz-go does not repeat in silence.
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
		m.fail(fmt.Errorf("inboxkafka: the position of group %q in topic %q, partition %d lies outside the log (%w): "+
			"retention deleted records that were not read, or the topic was made anew; say where to go on with ResetOffset",
			m.cfg.Group, topic, partition, err))
	case errors.As(err, &tooLarge):
		// franz-go reads no further in the partition: it would stand still without a word.
		m.fail(fmt.Errorf("inboxkafka: topic %q, partition %d: %w: allow for it with Options: kgo.MaxDecompressBatchBytes",
			topic, partition, err))
	case errors.Is(err, kerr.UnknownTopicID) && m.topicGone(topic):
		// franz-go asks for the topic by the id that it had, for ever.
		m.fail(fmt.Errorf("inboxkafka: topic %q has been unknown to the brokers for %v (%w): it was deleted, or made anew; "+
			"when it is there, start again: the group begins at its start",
			topic, m.cfg.unknownAfter, err))
	case m.fetchError != err.Error(): // once for each change
		m.fetchError = err.Error()
		about := []any{"error", err}
		if topic != "" { // else it is about the group
			about = append(about, "topic", topic, "partition", partition)
		}
		m.log.Warn("inboxkafka: cannot fetch, trying again", about...)
	}
}

// checkTopic refuses records of another topic than the one that was assigned: their offsets mean other messages.
func (m *member) checkTopic(t kgo.FetchTopic) {
	id := idText(t.TopicID)
	for _, fetched := range t.Partitions {
		p := m.partition(partitionName{t.Topic, fetched.Partition})
		if p == nil || id == "" || len(fetched.Records) == 0 {
			continue
		}
		if topicID, _ := p.topic(); topicID != "" && topicID != id {
			m.fail(fmt.Errorf("inboxkafka: topic %q was made anew while it was consumed: its id was %s and is %s; start again: "+
				"the group begins at its start", t.Topic, topicID, id))
		}
	}
}

// groupAdvice says what to do about an answer of the group that no repetition changes; "" for any other error.
func groupAdvice(err error) string {
	switch {
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return "its members assign partitions by a strategy that this one does not have, as those of Java and of other " +
			"clients may: stop them first, use a group of its own, or set Options: kgo.Balancers to a strategy that all have"
	case errors.Is(err, kerr.FencedInstanceID):
		return "another process has joined with the same instance id and took this one's place: " +
			"give each process an id of its own (Options: kgo.InstanceID), or stop one of the two"
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return "the brokers do not allow this session timeout: set Options: kgo.SessionTimeout to what lies between their " +
			"group.min.session.timeout.ms and group.max.session.timeout.ms"
	case errors.Is(err, kerr.InvalidGroupID):
		return "the brokers do not take this name: change Config.Group"
	}
	return ""
}

// denial is for how long brokers have denied a topic.
type denial struct{ first, last time.Time }

// denialPause is the longest time between two denials that are one: franz-go tells of them several times
// a second.
const denialPause = 5 * time.Second

// topicGone reports whether a topic has been denied for long enough, without a pause. Brokers that have just
// started deny topics that they have.
func (m *member) topicGone(topic string) bool {
	now := time.Now()
	d := m.denied[topic]
	if now.Sub(d.last) > denialPause {
		d.first = now
	}
	d.last = now
	m.denied[topic] = d
	return now.Sub(d.first) >= m.cfg.unknownAfter
}
