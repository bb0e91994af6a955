package relaykafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

// batchLimit is the name of our setting that bounds batches.
const batchLimit = "BatchMaxBytes"

// rejects reports whether err means that a broker rejects a record permanently. The hint says what an
// operator can do then.
func rejects(err error) (hint string, ok bool) {
	var answer *kerr.Error
	if !errors.As(err, &answer) {
		return "", false
	}
	return kafkarules.Rejects(answer.Code, batchLimit)
}

// classify turns the error that kgo reports for a record into the acknowledgement's error.
func classify(r *relay.Record, err error) error {
	if hint, ok := rejects(err); ok {
		return relay.Rejected(
			fmt.Errorf("kafka rejected a batch for topic %s that holds row %d: %w; %s", r.Topic, r.ID, err, hint),
		)
	}
	var answer *kerr.Error
	if errors.As(err, &answer) {
		if hint := kafkarules.Outage(answer.Code); hint != "" {
			return fmt.Errorf("kafka did not take row %d for topic %s: %w; %s", r.ID, r.Topic, err, hint)
		}
	}
	return fmt.Errorf("kafka did not take row %d for topic %s: %w", r.ID, r.Topic, err)
}

// ofTheSource reports whether any other record would have met this error too, whatever its topic: the error
// is not an answer of Kafka's, or Kafka has rejected the credentials.
func ofTheSource(err error) bool {
	var answer *kerr.Error
	if !errors.As(err, &answer) {
		return true
	}
	switch answer {
	case kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism,
		kerr.ClusterAuthorizationFailed:
		return true
	}
	return false
}
