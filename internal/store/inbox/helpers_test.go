package inbox_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

func exec(t *testing.T, pool *sql.DB, statement string) {
	t.Helper()
	_, err := pool.ExecContext(t.Context(), statement)
	require.NoError(t, err)
}

// timeOf writes a time as the dialect's columns take it.
func timeOf(d db.Dialect, at time.Time) string {
	switch d {
	case db.MySQL:
		return at.UTC().Format("2006-01-02 15:04:05.000000")
	case db.SQLite:
		return at.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return at.UTC().Format(time.RFC3339Nano)
}
