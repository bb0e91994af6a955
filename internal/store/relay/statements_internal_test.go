package relay

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Neither a statement nor a field is missing or superfluous in any dialect; it needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	for _, d := range db.Dialects {
		all, err := load(db.Names{Dialect: d})
		require.NoError(t, err)
		if d == db.MySQL { // a longer text would be NULL there
			keeps := fmt.Sprintf(" VARCHAR(%d) ", db.MaxParkedError)
			require.Contains(t, all.Park, keeps)
			require.Contains(t, all.Reject, keeps)
		}
	}
}
