package relay

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// No dialect lacks a statement or has one too many. This test needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	for _, d := range db.Dialects {
		all, err := load(db.Names{Dialect: d})
		require.NoError(t, err)
		if d == db.MySQL { // MySQL would return NULL for a longer text
			keeps := fmt.Sprintf(" VARCHAR(%d) ", db.MaxParkedError)
			require.Contains(t, all.Park, keeps)
			require.Contains(t, all.Reject, keeps)
		}
	}
}
