package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// No message may be impossible to park: one that is keeps its partition where it stands.
func TestADeadLetterLeavesOutWhatAnEventMayNotHave(t *testing.T) {
	b := onSQLite(t)
	ob, err := outbox.New(b.Dialect)
	require.NoError(t, err)
	ib := b.inbox(t, "billing\nEU", inbox.WithMaxAttempts(1), inbox.WithDeadLetter(ob, "orders.dead"))
	reason := errors.Join(errors.New("insert failed"), errors.New("close failed\r")) // has a line break between them
	m := inbox.Message{ID: "1\n2", Topic: "or\r\nders", Key: "k", Type: "a\nb", Headers: map[string]string{
		"good": "1", "two": "a\r\nb", "na\nme": "1", "": "1", "_watermill_x": "1", "postroom_x": "1",
		"dead_letter_x": "1", "bytes": "\xff",
	}}
	require.Equal(t, inbox.Parked, b.process(t, ib, m, func(context.Context, *sql.Tx) error { return reason }))
	require.Equal(t, []map[string]string{{
		"good":                         "1",
		inbox.HeaderDeadLetterConsumer: "billing EU",
		inbox.HeaderDeadLetterID:       "1 2",
		inbox.HeaderDeadLetterTopic:    "or  ders",
		inbox.HeaderDeadLetterAttempts: "1",
		inbox.HeaderDeadLetterError:    "insert failed; close failed ",
	}}, b.answers(t))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM outbox_events WHERE event_type = ''"),
		"a type with a line break")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE event_type = ?", "a\nb"),
		"it is parked as it is")

	m = inbox.Message{ID: "3", Topic: "orders", Key: "other", Type: strings.Repeat("é", outbox.MaxType)}
	require.Equal(t, inbox.Parked, b.process(t, ib, m, poison))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM outbox_events WHERE event_type = ?", m.Type),
		"the limit counts characters, not bytes")

	m = inbox.Message{
		ID: "4", Topic: "orders", Key: strings.Repeat("k", outbox.MaxKey+1),
		Type: strings.Repeat("é", outbox.MaxType+1),
	}
	require.Equal(t, inbox.Parked, b.process(t, ib, m, poison))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM outbox_events WHERE event_type = '' AND event_key IS NULL"),
		"a type and a key that an event may not have")
}

func TestADeadLetterTopicThatTheOutboxRefusesIsRefusedAtOnce(t *testing.T) {
	strict, err := outbox.New(outbox.SQLite)
	require.NoError(t, err)
	free, err := outbox.New(outbox.SQLite, outbox.WithAnyTopic())
	require.NoError(t, err)
	_, err = inbox.New(inbox.SQLite, "billing", inbox.WithDeadLetter(strict, "orders dead"))
	require.ErrorContains(t, err, "WithDeadLetter")
	require.ErrorIs(t, err, outbox.ErrInvalidTopic)
	_, err = inbox.New(inbox.SQLite, "billing", inbox.WithDeadLetter(free, "orders dead"))
	require.NoError(t, err)
	_, err = inbox.New(inbox.SQLite, "billing", inbox.WithDeadLetter(nil, "orders.dead"))
	require.ErrorContains(t, err, "want an outbox and a topic")
}
