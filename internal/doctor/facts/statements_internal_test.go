package facts

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// No dialect lacks a statement or has one too many. This test needs no server.
func TestEveryDialectHasItsStatements(t *testing.T) {
	for _, d := range db.Dialects {
		_, err := New(nil, db.Names{Dialect: d}, time.Second)
		require.NoError(t, err)
	}
}

// Some statements contain as a number how far they count.
func TestTheChecksCountAsFarAsGoThinks(t *testing.T) {
	for _, d := range db.Dialects {
		facts, err := New(nil, db.Names{Dialect: d}, time.Second)
		require.NoError(t, err)
		require.Contains(t, facts.sql.CountEvents, fmt.Sprintf(" LIMIT %d)", db.CountLimit+1))
		require.Contains(t, facts.sql.IdsBelow, fmt.Sprintf(" LIMIT %d)", db.CountLimit))
		require.Contains(t, facts.sql.ParkedCounts, fmt.Sprintf(" LIMIT %d)", parkedLimit+1))
	}
}
