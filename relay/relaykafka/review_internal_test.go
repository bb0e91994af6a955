package relaykafka

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Hazard answer-before-retry.
// Interleaving: attend asks for a denied topic; the topic is created; an operator has its
// events sent again, and the topic is doubted; the answer comes, from before. It must not end
// the wait: that is for the answer to the next question, which attend asks at once.
func TestAnAnswerThatIsOlderThanTheDoubtDoesNotEndTheWait(t *testing.T) {
	j := newJudge(Config{Logger: slog.New(slog.DiscardHandler)}.withDefaults())
	v := j.of("late")
	j.refuse("late", notThere("late", time.Second))
	older := time.Now()
	j.doubt(v)
	v.answered(older)
	require.NotNil(t, v.unanswered)
	denied, _ := j.due(time.Now())
	require.Equal(t, []*verdict{v}, denied, "to ask for")
	v.answered(time.Now())
	require.Nil(t, v.unanswered)
}
