package backfill_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
)

// What compare advises: rows of the replica were lost and altered, and a run of all rows,
// or a partial one of those, brings them back.
func TestABackfillMendsAReplicaThatWasDamaged(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 20)
		exec(t, db.DB, "CREATE TABLE copies (id bigint PRIMARY KEY, name varchar(100))")
		r, err := replica.New(
			db.Dialect, replica.Config{Table: "copies", Key: []string{"id"}, Columns: []string{"name"}},
		)
		require.NoError(t, err)
		compare := func() []replica.Difference {
			done, err := replica.Compare(t.Context(), replica.Comparison{
				Source: db.DB, SourceDialect: db.Dialect, Query: "SELECT id, name FROM customers",
				Replica: db.DB, ReplicaDialect: db.Dialect, Table: "copies", Key: []string{"id"},
				Wait: time.Millisecond})
			require.NoError(t, err)
			return done.Differences
		}
		run := func(c backfill.Config) {
			exec(t, db.DB, "DELETE FROM outbox_events")
			_, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
			require.NoError(t, err)
			apply(t, db, r, changes(t, db)...)
			tidied, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{})
			require.NoError(t, err)
			require.Equal(t, replica.Tidied{}, tidied)
		}
		run(c)
		require.Empty(t, compare())
		// the source's deletion comes before its row goes
		apply(t, db, r, replica.Change{Version: 2, Deleted: true, Values: map[string]any{"id": 20}})

		part := c
		part.Name, part.Partial = "part", true
		part.Query += " WHERE id IN (3, 4, 20)"
		for name, mend := range map[string]backfill.Config{"all rows": c, "a part": part} {
			exec(t, db.DB, "DELETE FROM copies WHERE id = 3")
			exec(t, db.DB, "UPDATE copies SET name = 'altered' WHERE id = 4")
			require.Len(t, compare(), 3, name)
			run(mend)
			require.Equal(
				t, []replica.Difference{{Kind: replica.Missing, Key: []string{"20"}}}, compare(),
				fmt.Sprint(name, ": a deletion stays"),
			)
		}
	})
}
