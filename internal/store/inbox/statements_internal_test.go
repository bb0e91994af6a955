package inbox

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Neither a statement nor a field is missing or superfluous in any dialect; it needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	for _, d := range db.Dialects {
		_, err := New(db.Names{Dialect: d})
		require.NoError(t, err)
	}
}

// The statements of the status have their limits in numbers.
func TestTheStatusCountsAsFarAsGoThinks(t *testing.T) {
	for _, d := range db.Dialects {
		s, err := New(db.Names{Dialect: d})
		require.NoError(t, err)
		for _, statement := range []string{s.sql.StatusAttempts, s.sql.StatusParked, s.sql.StatusBlocked} {
			require.Contains(t, statement, fmt.Sprintf(" LIMIT %d)", db.CountLimit))
		}
		require.Contains(t, s.sql.StatusEvents, fmt.Sprintf(" LIMIT %d)", countedTo(d)))
	}
}
