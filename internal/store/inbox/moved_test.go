package inbox_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/inbox"
)

// pqError is made as lib/pq's Error is.
type pqError struct{ Constraint string }

func (pqError) Error() string    { return "pq: geht nicht" }
func (pqError) SQLState() string { return "23514" }

// A row whose partition was attached meanwhile may be written again; one that a CHECK constraint refuses may not.
// Servers that speak another language tell the same.
func TestAMovedPartitionIsToldFromARefusedRowInAnyLanguage(t *testing.T) {
	i, err := inbox.NewDaily(db.Names{Dialect: db.PostgreSQL})
	require.NoError(t, err)
	for _, server := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.PostgreSQL18} {
		d := server(t)
		exec(t, d.DB, "CREATE TABLE t (n int, CONSTRAINT partition_check CHECK (n <> 5)) PARTITION BY RANGE (n)")
		exec(t, d.DB, "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10)")
		for statement, moved := range map[string]bool{
			"INSERT INTO t_low VALUES (11)":   true,
			"INSERT INTO t VALUES (12)":       true,
			"INSERT INTO t_low VALUES (NULL)": true,
			"INSERT INTO t VALUES (5)":        false,
		} {
			_, err := d.DB.ExecContext(t.Context(), statement)
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg, statement)
			require.Equal(t, "23514", pg.Code, statement)
			require.Equal(t, moved, db.IsSerialization(i.Moved(fmt.Errorf("a: %w", err))), "%s: %v", statement, err)
			translated := *pg
			translated.Message = map[bool]string{true: "Zeile passt nicht",
				false: "Zeile der partition passt nicht"}[moved]
			require.Equal(t, moved, db.IsSerialization(i.Moved(&translated)), "%s: %v", statement, &translated)
		}
	}
	require.True(t, db.IsSerialization(i.Moved(errors.Join(pqError{}))))
	require.False(t, db.IsSerialization(i.Moved(pqError{"inbox_events_consumer_check"})))
	plain, err := inbox.New(db.Names{Dialect: db.PostgreSQL})
	require.NoError(t, err)
	require.False(t, db.IsSerialization(plain.Moved(pqError{})), "a table without partitions")
}
