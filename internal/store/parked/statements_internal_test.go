package parked

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Neither a statement nor a field is missing or superfluous in any dialect; it needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	keeps := fmt.Sprintf(", %d)", db.MaxParkedError)
	for _, d := range db.Dialects {
		events, err := Outbox(nil, db.Names{Dialect: d})
		require.NoError(t, err)
		messages, err := Inbox(nil, db.Names{Dialect: d})
		require.NoError(t, err)
		for _, drop := range []string{events.sql.MarkDrop, messages.sql.MarkDrop} {
			require.Contains(t, drop, keeps, "what a drop keeps of the error")
		}
	}
}
