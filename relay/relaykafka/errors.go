package relaykafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/relay"
)

// refusals are the answers by which a broker refuses a record for good, each with what
// an operator can do. Whatever is not listed is an outage, failed authentication and
// denied access to the cluster among it: those say nothing about the record.
// UNKNOWN_TOPIC_OR_PARTITION is not here: see watcher.go.
func refusals() []remedy {
	return []remedy{
		{kerr.MessageTooLarge, "raise the topic's max.message.bytes or the brokers' message.max.bytes, or lower BatchMaxBytes"},
		{kerr.RecordListTooLarge, "raise the topic's segment.bytes, or lower BatchMaxBytes"},
		{kerr.InvalidRecord, "the topic may be compacted and the event without a key"},
		{kerr.InvalidTopicException, "topic " + topicNames},
		{kerr.TopicAuthorizationFailed, writeACL},
		{kerr.PolicyViolation, "ask who set the brokers' policy"},
	}
}

// outages are answers that concern every record alike, with what an operator can do.
func outages() []remedy {
	return []remedy{
		{kerr.SaslAuthenticationFailed, checkLogin},
		{kerr.IllegalSaslState, checkLogin},
		{kerr.UnsupportedSaslMechanism, checkLogin},
		{kerr.ClusterAuthorizationFailed, "give the relay's user Write on its topics, and before Kafka 3.0 IdempotentWrite on the cluster"},
		{kerr.TransactionalIDAuthorizationFailed, "give the relay's user Write and Describe on its transactional ids"},
		{kerr.InvalidTimestamp, "the brokers find our time wrong: set this machine's clock"},
		{kerr.UnsupportedCompressionType, "choose another compression"},
		{kerr.UnknownTopicID, "the topic was deleted and created again: starting anew"},
	}
}

const checkLogin = "check the SASL mechanism, the user and the password"

type remedy struct {
	err  *kerr.Error
	hint string
}

// classify turns what kgo reports for a record into an acknowledgement's error.
func classify(r *relay.Record, err error) error {
	for _, known := range refusals() {
		if errors.Is(err, known.err) {
			return relay.Rejected(fmt.Errorf("kafka refused a batch for topic %s that holds row %d: %w; %s", r.Topic, r.ID, err, known.hint))
		}
	}
	for _, known := range outages() {
		if errors.Is(err, known.err) {
			return fmt.Errorf("kafka did not take row %d for topic %s: %w; %s", r.ID, r.Topic, err, known.hint)
		}
	}
	return fmt.Errorf("kafka did not take row %d for topic %s: %w", r.ID, r.Topic, err)
}

// ofTheSource tells errors that any other record would have met too, whatever its topic:
// those that are no answer of Kafka's, and refused credentials.
func ofTheSource(err error) bool {
	var answer *kerr.Error
	if !errors.As(err, &answer) {
		return true
	}
	switch answer {
	case kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism, kerr.ClusterAuthorizationFailed:
		return true
	}
	return false
}
