package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// transactionTimeout is the time after which the broker aborts a transaction that its producer has left
	// open. Consumers wait for it until then.
	transactionTimeout = 10 * time.Second

	// commitTimeout bounds the wait for the answer to a commit. If there is no answer, the next session finds
	// out whether the transaction was committed (hazard lost-commit-answer).
	commitTimeout = 10 * time.Second

	// abortTimeout bounds how long a session that failed, or is closed, tries to abort its open transaction.
	// The abort only spares consumers a wait. Nobody can commit the transaction any more, and the next
	// session aborts it too.
	abortTimeout = 2 * time.Second

	// openTimeout bounds the opening of a session, and the wait for the next manifests.
	openTimeout = 15 * time.Second
)

var (
	errTimedOut = fmt.Errorf("the transaction was not through after %s", transactionTimeout)
	errNoAnswer = fmt.Errorf(
		"kafka has not answered to the commit for %s; the next session asks what became of it", commitTimeout,
	)
	errOpening     = fmt.Errorf("it took longer than %s", openTimeout)
	errNoManifests = fmt.Errorf("nothing has come for %s: is the broker reachable, or has a program that is not the "+
		"relay a transaction open in this topic?", openTimeout)
	errEpochChanged = errors.New(
		"the producer was given a new epoch in mid-transaction, for which the broker drops a part of it",
	)
)

func isFenced(err error) bool {
	return errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced)
}

// isRejection reports whether the broker would reject the same record again.
func isRejection(err error) bool {
	_, ok := rejects(err)
	return ok
}

// diagnose says why a transaction has not ended in time, so that an operator can repair the cause. It names
// the topic with the most unacknowledged records, and what Kafka reports about that topic.
func (t *transaction) diagnose(err error) error {
	s := t.session
	topic, records, others := t.unacknowledged()
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
			s.sink.validator.noteTopic(topic, answers[topic]) // the next session leaves out partitions without a leader
		}
		reason = s.topicProblem(topic, answers[topic])
	}
	return fmt.Errorf("%w: kafka at %s has not acknowledged %d of %d records of source %s, most of topic %s%s: %w",
		err, s.sink.addresses(), records, len(t.items)+len(t.manifests), s.source.Source, topic, more, reason)
}

func (s *txSession) topicProblem(topic string, answer topicAnswer) error {
	if unknown(answer.err) {
		return errors.New("the topic does not exist any more")
	}
	if answer.err != nil {
		return answer.err
	}
	if err := leaderless(answer.partitions); err != nil {
		return err
	}
	if topic != s.topic.name { // the validator knows nothing about the manifest topic
		if err := underReplicated(answer.partitions, s.sink.validator.state(topic).inSync.Load()); err != nil {
			return err
		}
	}
	return errNoReason
}

// unacknowledged counts the unacknowledged records, and names the topic that has the most of them.
func (t *transaction) unacknowledged() (topic string, records, others int) {
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
