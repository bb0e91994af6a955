package doctor_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/faultdb"
)

// A look at MySQL's views of tables must name the table by constants. Otherwise the
// server opens every table of every database to answer: that is slow, it is in the way
// of others, and a MariaDB 10.11.19 crashed over it.
func TestNoQuestionMakesMariaDBOpenAllItsTables(t *testing.T) {
	c := onMariaDB(t)
	c.insert()
	var mu sync.Mutex
	asked := map[string]bool{}
	db := faultdb.Open(c.db.DB, func(statement string) faultdb.Fault {
		mu.Lock()
		defer mu.Unlock()
		asked[statement] = true
		return faultdb.Fault{}
	})
	defer func() { require.NoError(t, db.Close()) }()
	c.source.DB = db
	c.examine()

	views := regexp.MustCompile(`(?i)information_schema\.(tables|columns|triggers|statistics|views|partitions|` +
		`key_column_usage|table_constraints|referential_constraints)\b`)
	looked := 0
	for statement := range asked {
		if !views.MatchString(statement) {
			continue
		}
		looked++
		rows, err := c.db.DB.QueryContext(t.Context(), "EXPLAIN "+strings.ReplaceAll(statement, "?", "'outbox_events'"))
		require.NoError(t, err, statement)
		for rows.Next() {
			columns := make([]*string, 10)
			into := make([]any, 10)
			for i := range columns {
				into[i] = &columns[i]
			}
			require.NoError(t, rows.Scan(into...))
			require.Contains(t, *columns[9], "Scanned 0 databases", statement)
		}
		require.NoError(t, rows.Err())
	}
	require.GreaterOrEqual(t, looked, 4)
}
