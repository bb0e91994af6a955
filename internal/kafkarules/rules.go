// Package kafkarules says what Kafka rejects permanently, and what to do about it, for the
// sinks that publish there. It holds no client: they have different ones.
package kafkarules

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/internal/kafkatopic"
)

// Hints of what an operator can do.
const (
	WriteACL   = "give the relay's user Write and Describe on it"
	CheckLogin = "check the SASL mechanism, the user and the password"
)

// Rejects reports whether a broker that answers with that code rejects a record permanently, and
// then what an operator can do. limit names the setting that bounds batches.
// Whatever it does not know is an outage, failed authentication and denied access to
// the cluster among it: those say nothing about the record. UNKNOWN_TOPIC_OR_PARTITION
// is a matter of time, see hazard stale-metadata: the sinks look for themselves.
func Rejects(code int16, limit string) (hint string, ok bool) {
	switch code {
	case kerr.MessageTooLarge.Code:
		hint = "raise the topic's max.message.bytes or the brokers' message.max.bytes, or lower " + limit
	case kerr.RecordListTooLarge.Code:
		hint = "raise the topic's segment.bytes, or lower " + limit
	case kerr.InvalidRecord.Code:
		hint = "the topic may be compacted and the event without a key"
	case kerr.InvalidTopicException.Code:
		hint = "topic " + kafkatopic.Rule
	case kerr.TopicAuthorizationFailed.Code:
		hint = WriteACL
	case kerr.PolicyViolation.Code:
		hint = "ask who set the brokers' policy"
	}
	return hint, hint != ""
}

// Outage returns what an operator can do about an answer that concerns every record alike,
// or "".
func Outage(code int16) string {
	switch code {
	case kerr.SaslAuthenticationFailed.Code, kerr.IllegalSaslState.Code, kerr.UnsupportedSaslMechanism.Code:
		return CheckLogin
	case kerr.ClusterAuthorizationFailed.Code:
		return "give the relay's user Write on its topics, and before Kafka 3.0 IdempotentWrite on the cluster"
	case kerr.TransactionalIDAuthorizationFailed.Code:
		return "give the relay's user Write and Describe on its transactional ids"
	case kerr.InvalidTimestamp.Code:
		return "the brokers find our time wrong: set this machine's clock"
	case kerr.UnsupportedCompressionType.Code:
		return "choose another compression"
	case kerr.UnknownTopicID.Code:
		return "the topic was deleted and created again: starting anew"
	}
	return ""
}
