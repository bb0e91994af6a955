package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// theCulprit is what the stack must name. The payload is among its arguments, and of the value.
//
//go:noinline
func theCulprit(payload []byte, value string) { panic(value + string(payload[:0])) }

// The stack of a panic is kept with the parked message and in the log: without it nobody finds the line.
func TestAPanicIsKeptWithItsStack(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		var log bytes.Buffer
		ob, err := outbox.New(b.Dialect)
		require.NoError(t, err)
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(2), inbox.WithDeadLetter(ob, "dead"),
			inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for id, value := range map[string]string{"short": "no such order", "long": strings.Repeat("x", 10_000)} {
			m := order(id, "")
			m.Payload = []byte("SECRET" + strings.Repeat("s", 100))
			require.Equal(t, inbox.Parked, b.process(t, ib, m,
				func(context.Context, *sql.Tx) error { theCulprit(m.Payload, value); return nil }))
			var reason string
			require.NoError(t,
				b.DB.QueryRowContext(t.Context(), b.sql("SELECT error FROM inbox_parked WHERE message_id = ?"),
					id).Scan(&reason))
			require.True(t, strings.HasPrefix(reason, "the handler panicked: "+value[:10]), reason)
			require.Contains(t, reason, "inbox_test.theCulprit\n\t", id)
			require.Contains(t, reason, "panic_test.go:", id)
			require.NotContains(t, reason, "(*unit)", "of the handler alone")
			require.NotContains(t, reason, "SECRET")
			require.NotContains(t, reason, "0x", "no arguments")
			require.LessOrEqual(t, len(reason), 4_100, id)
		}
		// of the first attempts; the last is in the parked reason
		require.Equal(t, 2, strings.Count(log.String(), "stack="))
		require.Equal(t, 4, strings.Count(log.String(), "inbox_test.theCulprit"))
		letters := b.answers(t)
		require.Len(t, letters, 2)
		for _, headers := range letters {
			require.Contains(t, headers[inbox.HeaderDeadLetterError], "the handler panicked: ")
			require.NotContains(t, headers[inbox.HeaderDeadLetterError], "theCulprit", "a header has no room for it")
		}

		// A replay keeps the new one's.
		b.ask(t, "short", "retry")
		_, err = ib.Replay(t.Context(), b.DB, func(
			context.Context, *sql.Tx, inbox.Message) error {
			theCulprit(nil, "again")
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_parked WHERE error LIKE '%panicked: again%theCulprit%'"))
	})
}
