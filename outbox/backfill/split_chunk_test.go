package backfill_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

// Hazard split-chunk: a chunk's read, its events and the run's place are one transaction. Were
// the place noted on its own, a process that ends between the two would leave rows out, and
// still say at its end that it has sent them.
func TestAChunkThatCannotBeWrittenHasNotBeenRead(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, kind varchar(1000) NOT NULL)")
		exec(
			t, db.DB,
			"INSERT INTO customers VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, '"+strings.Repeat("x", 1000)+"'), (5, 'a')",
		)
		config := backfill.Config{Name: "n", Position: "id", Chunk: 2,
			Query: "SELECT id, 'a' AS topic, '' AS event_key, kind AS event_type, '{}' AS payload FROM customers"}
		_, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
		require.ErrorIs(t, err, outbox.ErrTooLarge)
		require.Equal(t, 2, count(t, db, "SELECT count(*) FROM outbox_events"))
		require.Equal(t, 1, count(t, db, "SELECT chunks FROM outbox_backfills"), "the second chunk is not counted")

		exec(t, db.DB, "UPDATE customers SET kind = 'a' WHERE id = 4")
		done, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
		require.NoError(t, err)
		require.Equal(t, int64(5), done.Sent)
		require.Equal(t, 6, count(t, db, "SELECT count(*) FROM outbox_events"), "five rows, and the marker")
	})
}
