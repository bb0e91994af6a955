package relay_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func newRelay(t *testing.T, db dbtest.Database) *relay.Store {
	t.Helper()
	return newStore(t, db, relay.Options{})
}

// newArchiving returns a store that archives what it deletes.
func newArchiving(t *testing.T, db dbtest.Database) *relay.Store {
	t.Helper()
	return newStore(t, db, relay.Options{Archive: true})
}

func newStore(t *testing.T, db dbtest.Database, o relay.Options) *relay.Store {
	t.Helper()
	r, err := relay.New(db.DB, sqldb.Names{Dialect: db.Dialect}, o)
	require.NoError(t, err)
	return r
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

func begin(t *testing.T, db *sql.DB, opts *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// explained returns the rows of an EXPLAIN.
func explained(t *testing.T, db dbtest.Database, query string, args []any) string {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		require.NoError(t, rows.Scan(cells...))
		for _, cell := range cells {
			if text, ok := (*cell.(*any)).([]byte); ok {
				*cell.(*any) = string(text)
			}
			fmt.Fprintf(&plan, "%v ", *cell.(*any))
		}
		plan.WriteByte('\n')
	}
	require.NoError(t, rows.Err())
	return plan.String()
}
