package relaykafka

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Hazard answer-before-retry.
// Interleaving: keepUpToDate asks for a denied topic; the topic is created; an operator has its
// events sent again, and askAgain is called; the answer comes, from before. It must not end
// the wait: that is for the answer to the next question, which keepUpToDate asks at once.
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
