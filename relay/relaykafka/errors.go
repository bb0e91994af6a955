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
// UNKNOWN_TOPIC_OR_PARTITION is not here: see topics.go.
func refusals() []refusal {
	return []refusal{
		{kerr.MessageTooLarge, "raise the topic's max.message.bytes or the brokers' message.max.bytes, or lower BatchMaxBytes"},
		{kerr.RecordListTooLarge, "raise the topic's segment.bytes, or lower BatchMaxBytes"},
		{kerr.InvalidRecord, "the topic may be compacted and the event without a key"},
		{kerr.InvalidTopicException, "topic names are 1 to 249 of A-Z a-z 0-9 . _ -"},
		{kerr.TopicAuthorizationFailed, "give the relay's user Write and Describe on the topic"},
		{kerr.PolicyViolation, "ask who set the brokers' policy"},
	}
}

type refusal struct {
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
	return fmt.Errorf("kafka did not take row %d for topic %s: %w", r.ID, r.Topic, err)
}
