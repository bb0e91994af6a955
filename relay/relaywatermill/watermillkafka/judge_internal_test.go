package watermillkafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
)

func TestATopicIsUnknownOnlyAfterLastingDenials(t *testing.T) {
	j := &judge{unknownAfter: 30 * time.Second}
	start := time.Now()
	denied := func(after time.Duration) bool { return j.deniedLongEnough("orders", start.Add(after)) }
	require.False(t, denied(0))
	require.False(t, denied(10*time.Second))
	require.False(t, j.deniedLongEnough("others", start.Add(30*time.Second)), "another topic")
	require.True(t, denied(30*time.Second))
	require.False(t, denied(61*time.Second), "nobody asked for longer than 30 s: it starts over")
	require.True(t, denied(91*time.Second))
	j.clear("orders")
	require.False(t, denied(92*time.Second), "it has taken a message since")
}

func TestWhatIsARejectionAndWhatAnOutage(t *testing.T) {
	j := &judge{unknownAfter: time.Hour}
	for _, err := range []error{
		sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge, sarama.ErrInvalidRecord, sarama.ErrInvalidTopic,
		sarama.ErrTopicAuthorizationFailed, sarama.ErrPolicyViolation, sarama.ConfigurationError("too large"),
	} {
		require.True(t, j.rejected("orders", fmt.Errorf("cannot produce: %w", err)), err)
	}
	for _, err := range []error{
		sarama.ErrOutOfBrokers, sarama.ErrNotEnoughReplicas, sarama.ErrRequestTimedOut, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrSASLAuthenticationFailed, sarama.ErrUnknownTopicOrPartition, sarama.ErrOutOfOrderSequenceNumber,
	} {
		require.False(t, j.rejected("orders", fmt.Errorf("cannot produce: %w", err)), err)
	}
}
