package inbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// answering leaves an effect and answers with one event.
func (b bench) answering(answer outbox.Event) inbox.StepHandler {
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) ([]outbox.Event, error) {
		return []outbox.Event{answer}, b.applying(ctx, tx, m)
	}
}

func (b bench) answers(t *testing.T) (all []map[string]string) {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), "SELECT headers FROM outbox_events ORDER BY id")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		var headers map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &headers))
		all = append(all, headers)
	}
	require.NoError(t, rows.Err())
	return all
}

func TestAStepTakesEffectAndAnswersOnce(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ob, err := outbox.New(b.Dialect)
		require.NoError(t, err)
		ib := b.inbox(t, "payments", inbox.WithMaxAttempts(1))
		first := order("1", "k")
		first.Headers = map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			"tracestate": "\xff", "other": "is the message's own"}
		paid := outbox.Event{Topic: "payments", Key: "k", Type: "payment.made"}
		for _, want := range []inbox.Outcome{inbox.Applied, inbox.Duplicate} {
			outcome, err := ib.Step(t.Context(), b.DB, ob, first, b.answering(paid))
			require.NoError(t, err)
			require.Equal(t, want, outcome)
		}
		second := order("2", "k")
		second.Headers = map[string]string{inbox.HeaderCorrelationID: "saga-7",
			"traceparent": strings.Repeat("x", 5000)}
		paid.Headers = map[string]string{inbox.HeaderCausationID: "its own"}
		_, err = ib.Step(t.Context(), b.DB, ob, second, b.answering(paid))
		require.NoError(t, err)
		require.Equal(t, []map[string]string{
			{inbox.HeaderCorrelationID: "1", inbox.HeaderCausationID: "1", "traceparent": first.Headers["traceparent"]},
			{inbox.HeaderCorrelationID: "saga-7", inbox.HeaderCausationID: "its own"},
		}, b.answers(t))
		require.Equal(t, map[string]string{inbox.HeaderCausationID: "its own"}, paid.Headers,
			"the event given is not changed")
		require.Equal(t, 2, b.effects(t))

		// An answer that cannot be written undoes the step.
		outcome, err := ib.Step(t.Context(), b.DB, ob, order("3", "k"), b.answering(outbox.Event{}))
		require.NoError(t, err)
		require.Equal(t, inbox.Parked, outcome)
		require.Equal(t, 2, b.effects(t))
	})
}

// What a message from elsewhere brings must not fail the step that answers it.
func TestAStepCarriesOnlyWhatAnEventMayHave(t *testing.T) {
	b := onSQLite(t)
	ob, err := outbox.New(b.Dialect)
	require.NoError(t, err)
	ib := b.inbox(t, "payments", inbox.WithMaxAttempts(1))
	own := outbox.Event{Topic: "payments", Headers: map[string]string{"large": strings.Repeat("x", 9000)}}
	broken := order("1\r\n", "k")
	broken.Headers = map[string]string{inbox.HeaderCorrelationID: "c\r\n", "traceparent": "a\nb", "baggage": "a\rb",
		"tracestate": "good"}
	long := order("2", "k") // six bytes each in JSON
	long.Headers = map[string]string{inbox.HeaderCorrelationID: "saga-7", "traceparent": "00-1",
		"tracestate": strings.Repeat("<", 1000), "baggage": strings.Repeat("\x01", 1000)}
	for _, m := range []inbox.Message{broken, long} {
		outcome, err := ib.Step(t.Context(), b.DB, ob, m, b.answering(own))
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome, m.ID)
	}
	answers := b.answers(t)
	for _, headers := range answers {
		require.Equal(t, own.Headers["large"], headers["large"])
		delete(headers, "large")
	}
	require.Equal(t, []map[string]string{
		{inbox.HeaderCorrelationID: "1  ", inbox.HeaderCausationID: "1  ", "tracestate": "good"},
		{inbox.HeaderCorrelationID: "saga-7", inbox.HeaderCausationID: "2", "traceparent": "00-1",
			"tracestate": long.Headers["tracestate"]},
	}, answers, "the baggage has no room beside the event's own headers")
}
