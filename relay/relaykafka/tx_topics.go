package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

// A transaction with a record for a topic that does not exist would stay open until it times out, with all of
// its other records. So the session checks topics before it produces. It holds back the records of a missing
// topic until the topic exists, or until brokers have reported it missing for long enough
// (Config.UnknownTopicAfter). Meanwhile records of other topics are sent. A key belongs to a topic, so
// holding back all records of a topic keeps the order.

// lookAgain is how often missing topics are checked again.
const lookAgain = 250 * time.Millisecond

// round makes a transaction of the queued records, and reports whether the session can go on.
func (s *txSession) round() bool {
	items := append(s.held, s.takeQueue()...)
	s.held = nil
	s.underWay.Store(&pendingTransaction{since: time.Now(), records: len(items)})
	defer s.underWay.Store(nil)
	rejected, err := s.lookUp(items)
	if err != nil {
		if s.life.Err() != nil {
			err = relay.ErrGivenUp
		}
		for _, it := range items {
			s.ack(it.record, err)
		}
		return false
	}
	ready := make([]*txItem, 0, len(items))
	for _, it := range items {
		if s.topics[it.wire.Topic] {
			ready = append(ready, it)
		} else {
			s.held = append(s.held, it)
		}
	}
	// Send the records that can be sent first: then the relay has fewer suspects beside the rejected record.
	if len(ready) > 0 && !s.transact(ready) {
		return false
	}
	return !s.reject(rejected)
}

// lookUp finds out which of the items' topics exist, and notes it in s.topics. rejected has the topics whose
// records are to be rejected, and the reasons.
func (s *txSession) lookUp(items []*txItem) (rejected map[string]error, err error) {
	for _, it := range items {
		if _, seen := s.topics[it.wire.Topic]; !seen {
			s.topics[it.wire.Topic] = false
		}
	}
	var missing []string
	for topic, exists := range s.topics {
		if !exists {
			missing = append(missing, topic)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(s.life, metadataTimeout)
	defer cancel()
	answers, err := askTopics(ctx, s.client, false, append(missing[:len(missing):len(missing)], s.topic.name)...)
	if err != nil {
		s.sink.validator.clearMissing(missing...)
		return nil, fmt.Errorf("ask kafka whether %d topics exist: %w", len(missing), orCause(ctx, err))
	}
	if unknown(answers[s.topic.name].err) {
		s.sink.validator.clearMissing(missing...) // a broker that does not know an existing topic is not up to date
		return nil, nil
	}
	defer s.sink.validator.logMissing()
	rejected = make(map[string]error)
	for _, topic := range missing {
		if err := s.rejection(ctx, topic, answers[topic].err); err != nil {
			s.sink.validator.deny(topic, err)
			rejected[topic] = err
		}
	}
	return rejected, nil
}

// rejection returns the reason for which the topic's records are to be rejected, or nil.
func (s *txSession) rejection(ctx context.Context, topic string, answer error) error {
	switch {
	case errors.Is(answer, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("kafka rejects topic %s: %w; %s", topic, answer, kafkarules.WriteACL)
	case isRejection(answer):
		return fmt.Errorf("kafka rejects topic %s: %w", topic, answer)
	case answer == nil, !unknown(answer) && !kerr.IsRetriable(answer): // kgo returns this error with the record
		s.topics[topic] = true
		s.sink.validator.clearMissing(topic)
		return nil
	case !unknown(answer):
		return nil // another client is creating the topic now
	case s.sink.cfg.CreateTopics:
		return s.create(ctx, topic)
	}
	if lasted, long := s.sink.validator.noteMissing(topic, time.Now()); long {
		return notThere(topic, lasted)
	}
	return nil
}

func (s *txSession) create(ctx context.Context, topic string) error {
	err := createTopic(ctx, s.client, s.sink.cfg, topic)
	switch {
	case err == nil:
		s.sink.log.Info("created a topic", "topic", topic)
	case createRejected(err):
		return notCreated(topic, err)
	default:
		s.sink.log.Warn("a topic could not be created; trying again", "topic", topic, "error", err)
	}
	return nil
}

// reject acknowledges the records of rejected topics, and reports whether there were any. If so, the session
// ends.
func (s *txSession) reject(reasons map[string]error) bool {
	left := s.held[:0]
	for _, it := range s.held {
		if reason := reasons[it.wire.Topic]; reason != nil {
			s.ack(it.record, relay.Rejected(reason))
		} else {
			left = append(left, it)
		}
	}
	rejected := len(left) < len(s.held)
	s.held = left
	return rejected
}

var _ relay.OutageReporter = (*txSession)(nil)

// pendingTransaction is a transaction that is in progress.
type pendingTransaction struct {
	since   time.Time
	records int
}

// Outage implements relay.OutageReporter. The validator reports topics that do not exist.
func (s *txSession) Outage() error {
	w := s.underWay.Load()
	if w == nil || time.Since(w.since) < outageAfter {
		return nil
	}
	return fmt.Errorf("kafka at %s has not completed a transaction of %d records since %s; is each broker up, and "+
		"reachable from here at the address that it advertises?",
		s.sink.addresses(), w.records, w.since.UTC().Format(time.RFC3339))
}
