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

// A transaction with a record for a topic that does not exist would stay open until it
// times out, and all others with it. So topics are asked for before: the records of one
// that is not there are held back until it is, or has been denied for long enough
// (Config.UnknownTopicAfter), while those of other topics go. A key belongs to a topic,
// so holding back all records of a topic keeps the order.

// lookAgain is how often topics that are not there are asked for.
const lookAgain = 250 * time.Millisecond

// round makes a transaction of what there is, and reports whether the session lives on.
func (s *txSession) round() bool {
	items := append(s.held, s.takeQueue()...)
	s.held = nil
	s.underWay.Store(&pendingTransaction{since: time.Now(), records: len(items)})
	defer s.underWay.Store(nil)
	refused, err := s.lookUp(items)
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
	// What can go goes first: then the relay has fewer suspects beside the refused.
	if len(ready) > 0 && !s.transact(ready) {
		return false
	}
	return !s.reject(refused)
}

// lookUp sees to it that s.topics knows the items' topics. refused are those whose records
// are to be rejected, and why.
func (s *txSession) lookUp(items []*txItem) (refused map[string]error, err error) {
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
		s.sink.validator.clearMissing(missing...) // a broker that denies this one knows nothing yet
		return nil, nil
	}
	defer s.sink.validator.logMissing()
	refused = make(map[string]error)
	for _, topic := range missing {
		if err := s.rejection(ctx, topic, answers[topic].err); err != nil {
			s.sink.validator.deny(topic, err)
			refused[topic] = err
		}
	}
	return refused, nil
}

// rejection returns why the topic's records are to be rejected, if they are.
func (s *txSession) rejection(ctx context.Context, topic string, answer error) error {
	switch {
	case errors.Is(answer, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("kafka refuses topic %s: %w; %s", topic, answer, kafkarules.WriteACL)
	case isRefusal(answer):
		return fmt.Errorf("kafka refuses topic %s: %w", topic, answer)
	case answer == nil, !unknown(answer) && !kerr.IsRetriable(answer): // comes back with the record
		s.topics[topic] = true
		s.sink.validator.clearMissing(topic)
		return nil
	case !unknown(answer):
		return nil // it is just being created
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
	case createRefused(err):
		return notCreated(topic, err)
	default:
		s.sink.log.Warn("a topic could not be created; trying again", "topic", topic, "error", err)
	}
	return nil
}

// reject acknowledges the records of refused topics, and reports whether there are any:
// that ends the session.
func (s *txSession) reject(refused map[string]error) bool {
	left := s.held[:0]
	for _, it := range s.held {
		if reason := refused[it.wire.Topic]; reason != nil {
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

// pendingTransaction is a transaction that is under way.
type pendingTransaction struct {
	since   time.Time
	records int
}

// Outage implements relay.OutageReporter. Of topics that do not exist the validator tells.
func (s *txSession) Outage() error {
	w := s.underWay.Load()
	if w == nil || time.Since(w.since) < outageAfter {
		return nil
	}
	return fmt.Errorf("kafka at %s has not completed a transaction of %d records since %s; is each broker up, and "+
		"reachable from here at the address that it advertises?",
		s.sink.addresses(), w.records, w.since.UTC().Format(time.RFC3339))
}
