package relaykafka

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Hazard answer-before-retry.
// Interleaving: keepUpToDate asks about a denied topic. The topic is created. An operator has its events sent
// again, and askAgain is called. Then the answer arrives, from before the creation. It must not end the wait.
// Only the answer to the next question may, which keepUpToDate asks at once.
func TestAnAnswerThatIsOlderThanTheDoubtDoesNotEndTheWait(t *testing.T) {
	v := newValidator(Config{Logger: slog.New(slog.DiscardHandler)}.withDefaults())
	topic := v.state("late")
	v.markDenied("late", notThere("late", time.Second))
	older := time.Now()
	v.askAgain(topic)
	topic.answered(older)
	require.NotNil(t, topic.unanswered)
	denied, _ := v.due(time.Now())
	require.Equal(t, []*topicState{topic}, denied, "to ask for")
	topic.answered(time.Now())
	require.Nil(t, topic.unanswered)
}
