package dialect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// explained returns every cell of a plan.
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
