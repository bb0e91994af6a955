package inbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// No message is impossible to park, however large it is: what the database would not take in
// one statement is left out, and the reason says so. Zeros are what grows the most where a driver writes a
// statement's arguments into it.
func TestAMessageOfAnySizeIsParked(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ob, err := outbox.New(b.Dialect, outbox.WithMaxPayload(1<<20))
		require.NoError(t, err)
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithDeadLetter(ob, "dead"))
		largest, larger, headers := order("largest", "a"), order("larger", "b"), order("headers", "c")
		largest.Payload, larger.Payload = make([]byte, inbox.MaxParkedPayload), make([]byte, inbox.MaxParkedPayload+1)
		headers.Headers = map[string]string{"huge": strings.Repeat("\x00", 9<<20), "_watermill_message_uuid": "headers"}
		all := []inbox.Message{largest, larger, headers}
		for i := range all {
			all[i].Position = &inbox.Position{Topic: "orders", Offset: int64(i)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			outcome, err := ib.Process(ctx, b.DB, all[i], poison)
			cancel()
			require.NoError(t, err, all[i].ID)
			require.Equal(t, inbox.Parked, outcome, all[i].ID)
		}
		for id, left := range map[string]string{"larger": "payload of 8388609 bytes", "headers": "headers of "} {
			var reason string
			require.NoError(t,
				b.DB.QueryRowContext(t.Context(), b.sql("SELECT error FROM inbox_parked WHERE message_id = ?"),
					id).Scan(&reason))
			require.Contains(t, reason, errPoison.Error())
			require.Contains(t, reason, left)
			require.Contains(t, reason, "orders/0@")
		}
		var kept string
		require.NoError(t, b.DB.QueryRowContext(t.Context(),
			"SELECT headers FROM inbox_parked WHERE message_id = 'headers'").Scan(&kept))
		require.True(t, json.Valid([]byte(kept)))
		require.NotContains(t, kept, "huge")

		// None of these can be run again from here, unless all of it was kept.
		b.exec(t, "UPDATE inbox_parked SET state = 'retry'")
		var again []string
		_, err = ib.Replay(t.Context(), b.DB, func(_ context.Context, _ *sql.Tx, m inbox.Message) error {
			again = append(again, m.ID)
			require.Len(t, m.Payload, inbox.MaxParkedPayload)
			return errors.New("once more")
		})
		require.NoError(t, err)
		require.NotContains(t, again, "larger")
		require.NotContains(t, again, "headers")
	})
}
