package relaykafka

import (
	"context"
	"errors"
	"fmt"
)

// diagnose says what a transaction hangs on that is not through in time, for whoever has
// to mend it: the topic with the most records that are not acknowledged, and what is
// wrong with it by Kafka's own account.
func (t *transaction) diagnose(err error) error {
	s := t.session
	topic, records, others := t.hanging()
	if records == 0 {
		return err
	}
	more := ""
	if others > 0 {
		more = fmt.Sprintf(" and of %d more topics", others)
	}
	ctx, cancel := context.WithTimeout(s.life, abortTimeout)
	defer cancel()
	answers, asked := askTopics(ctx, s.client, false, topic)
	reason := orCause(ctx, asked)
	if asked == nil {
		if answers[topic].err == nil {
			s.sink.judge.noteTopic(topic, answers[topic]) // the next session leaves out what has no leader
		}
		reason = s.wrongWith(topic, answers[topic])
	}
	return fmt.Errorf("%w: kafka at %s has not acknowledged %d of %d records of source %s, most of topic %s%s: %w",
		err, s.sink.addresses(), records, len(t.items)+len(t.manifests), s.source.Source, topic, more, reason)
}

func (s *txSession) wrongWith(topic string, answer topicAnswer) error {
	if unknown(answer.err) {
		return errors.New("the topic does not exist any more")
	}
	if answer.err != nil {
		return answer.err
	}
	if err := leaderless(answer.partitions); err != nil {
		return err
	}
	if topic != s.topic.name { // of which the judge knows nothing
		if err := underReplicated(answer.partitions, s.sink.judge.of(topic).inSync.Load()); err != nil {
			return err
		}
	}
	return errNoReason
}

// hanging counts the records that are not acknowledged, and names the topic with most.
func (t *transaction) hanging() (topic string, records, others int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make(map[string]int)
	for _, list := range [][]*txItem{t.items, t.manifests} {
		for _, it := range list {
			if it.answered {
				continue
			}
			name := it.wire.Topic
			records++
			counts[name]++
			if counts[name] > counts[topic] {
				topic = name
			}
		}
	}
	return topic, records, max(len(counts)-1, 0)
}
