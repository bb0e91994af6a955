package source

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Neither a statement nor a field is missing or superfluous in any dialect; it needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	for _, d := range db.Dialects {
		_, err := New(nil, db.Names{Dialect: d})
		require.NoError(t, err)
	}
}
