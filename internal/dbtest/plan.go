package dbtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Plan returns every cell of the database's plan of a statement.
func Plan(t testing.TB, d Database, statement string, args ...any) string {
	t.Helper()
	explain := db.For(d.Dialect, "EXPLAIN ", "EXPLAIN ", "EXPLAIN QUERY PLAN ")
	rows, err := d.DB.QueryContext(t.Context(), explain+statement, args...)
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
