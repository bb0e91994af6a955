package watermillkafka

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

func TestATopicIsUnknownOnlyAfterLastingDenials(t *testing.T) {
	c := &classifier{unknownAfter: 30 * time.Second}
	start := time.Now()
	denied := func(after time.Duration) bool { return c.deniedLongEnough("orders", start.Add(after)) }
	require.False(t, denied(0))
	require.False(t, denied(10*time.Second))
	require.False(t, c.deniedLongEnough("others", start.Add(30*time.Second)), "another topic")
	require.True(t, denied(30*time.Second))
	require.False(t, denied(61*time.Second), "nobody asked for longer than 30 s: it starts over")
	require.True(t, denied(91*time.Second))
	c.clear("orders")
	require.False(t, denied(92*time.Second), "it has taken a message since")
}

func TestWhatIsARejectionAndWhatAnOutage(t *testing.T) {
	c := &classifier{unknownAfter: time.Hour}
	for _, err := range []error{
		sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge, sarama.ErrInvalidRecord,
		sarama.ErrInvalidTopic,
		sarama.ErrTopicAuthorizationFailed, sarama.ErrPolicyViolation, sarama.ConfigurationError("too large"),
	} {
		require.True(t, c.rejected("orders", fmt.Errorf("cannot produce: %w", err)), err)
		require.Contains(t, withHint(err).Error(), "; ", "what to do about it")
		require.ErrorIs(t, withHint(err), err)
	}
	require.True(t, c.rejected("orders", fmt.Errorf("cannot marshal: %w", errNoMessage)), "it would fail again")
	for _, err := range []error{
		sarama.ErrOutOfBrokers, sarama.ErrNotEnoughReplicas, sarama.ErrRequestTimedOut,
		sarama.ErrClusterAuthorizationFailed,
		sarama.ErrSASLAuthenticationFailed, sarama.ErrUnknownTopicOrPartition, sarama.ErrOutOfOrderSequenceNumber,
		sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrLeaderNotAvailable, sarama.ErrInvalidTimestamp,
		sarama.ErrClosedClient,
		sarama.ErrUnsupportedSASLMechanism, sarama.ErrIncompleteResponse, errors.New("connection refused"),
	} {
		require.False(t, c.rejected("orders", fmt.Errorf("cannot produce: %w", err)), err)
	}
}

func TestARecordTooLargeForItsTopicIsKnownOnceKafkaWasAsked(t *testing.T) {
	asked := make(chan []string)
	most := map[string]int{"small": 1000}
	l := newLimits(func(topics []string) map[string]int { asked <- topics; return most }, false)
	large := &relay.Record{Topic: "small", Payload: make([]byte, 1000)}
	require.NoError(t, l.Validate(large), "its limit is not known yet")
	require.Equal(t, []string{"small"}, <-asked)
	l.wait.Wait()
	require.ErrorContains(t, l.Validate(large), "topic small makes a batch of ")
	require.ErrorContains(t, l.Validate(large), "takes 1000: raise its max.message.bytes")
	require.NoError(t, l.Validate(&relay.Record{Topic: "small", Payload: make([]byte, 700)}))

	most["small"] = 2000
	now := time.Now()
	require.Equal(t, 1000, l.of("small", now.Add(askAgainAfter-time.Second)), "too soon")
	l.of("small", now.Add(askAgainAfter+time.Second))
	<-asked
	l.wait.Wait()
	require.NoError(t, l.Validate(large), "the limit was raised")
	l.of("small", now.Add(2*askAgainAfter+2*time.Second)) // nothing was rejected since, so there is nothing to ask
	l.close()
}

func TestARecordIsNotRefusedForAKeyThatItsMessageMayNotHave(t *testing.T) {
	l := newLimits(func([]string) map[string]int { return map[string]int{"small": 1000} }, true)
	long := &relay.Record{Topic: "small", Key: make([]byte, 500), Payload: make([]byte, 600)}
	require.NoError(t, l.Validate(long))
	l.wait.Wait()
	require.NoError(t, l.Validate(long))
	l.anyKey = false
	require.Error(t, l.Validate(long))
	l.close()
}
