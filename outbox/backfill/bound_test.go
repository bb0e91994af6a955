package backfill_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
)

func customers(t *testing.T, db dbtest.Database, n int) backfill.Config {
	t.Helper()
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), version bigint NOT NULL)")
	for i := 1; i <= n; i++ {
		exec(t, db.DB, fmt.Sprintf("INSERT INTO customers (id, name, version) VALUES (%d, 'c%d', 1)", i, i))
	}
	return backfill.Config{Name: "customers", Query: query[string(db.Dialect)], Position: "id"}
}

// cutOff runs c until its first chunk has been sent.
func cutOff(t *testing.T, db dbtest.Database, c backfill.Config) backfill.Progress {
	t.Helper()
	ctx, cut := context.WithCancel(t.Context())
	c.Progress = func(backfill.Progress) { cut() }
	done, err := backfill.Run(ctx, db.DB, db.Dialect, c)
	require.ErrorIs(t, err, context.Canceled)
	return done
}

// Were there no bound, a source that grows as fast as it is read would be read for ever.
func TestARunEndsWithTheLastRowThatWasThereAtItsStart(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 4)
		c.Chunk = 2
		ctx, stop := context.WithCancel(t.Context())
		var chunks int64
		c.Progress = func(p backfill.Progress) {
			if chunks = p.Chunks; chunks == 10 {
				stop()
			}
			for i := range int64(3) {
				exec(
					t, db.DB,
					fmt.Sprintf("INSERT INTO customers (id, name, version) VALUES (%d, 'ahead', 1)", 100*chunks+i),
				)
			}
		}
		done, err := backfill.Run(ctx, db.DB, db.Dialect, c)
		require.NoError(t, err)
		require.Equal(t, int64(2), chunks, "the last rows and the marker are one chunk")
		require.True(t, done.Finished)
		require.Equal(t, map[string]int64{"customers": 4}, done.Topics)
		sent := changes(t, db)
		require.Len(t, sent, 5)
		require.Equal(t, int64(4), sent[4].End.Sent)
		require.Zero(t, count(t, db, "SELECT count(*) FROM outbox_backfills WHERE running = 1"))
	})
}

// The query has no row while the bound is read, and then one.
func TestARunOfNoRowsFinishesAtOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	c := customers(t, db, 1)
	exec(t, db.DB, "CREATE SEQUENCE looks")
	c.Query += " WHERE (SELECT nextval('looks')) > 2"
	done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
	require.NoError(t, err)
	require.True(t, done.Finished)
	require.Zero(t, done.Sent)
	require.Empty(t, changes(t, db), "nor a marker: there is no topic")
	require.Equal(t, 3, count(t, db, "SELECT nextval('looks')"))
}

// A row that is not in the first query and that the second leaves out would be removed
// from the replica, whose marker counts what the two have sent together.
func TestARunGoesOnWithWhatItWasBegunWith(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 5)
		c.Chunk = 2
		exec(t, db.DB, "ALTER TABLE customers ADD COLUMN other bigint")
		cut := cutOff(t, db, c)
		for name, change := range map[string]func(*backfill.Config){
			"query":    func(c *backfill.Config) { c.Query += " WHERE id <> 3" },
			"position": func(c *backfill.Config) { c.Position = "other" },
			"partial":  func(c *backfill.Config) { c.Partial = true },
		} {
			other := c
			change(&other)
			_, err := backfill.Run(t.Context(), db.DB, db.Dialect, other)
			require.ErrorIs(t, err, backfill.ErrConfig, name)
			require.ErrorContains(t, err, "relay backfill --abandon --name customers")
		}
		c.Query += " ;\n"
		require.Equal(t, int64(4), cutOff(t, db, c).Sent, "the same but for how it ends")
		// What another version wrote has neither a bound nor a hash.
		exec(t, db.DB, "UPDATE outbox_backfills SET position = '3'")
		done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		require.NoError(t, err)
		require.Equal(t, cut.RunID, done.RunID)
		require.Equal(t, int64(6), done.Sent, "four, and those after 3")
	})
}

// A second topic's rows would be counted for the first one's marker, and then the rows
// of the second that are still under way removed.
func TestARunHasOneTopic(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 3)
		c.Query = "SELECT id, CASE WHEN id = 3 THEN 'b' ELSE 'a' END AS topic, '' AS event_key, '' AS event_type, " +
			"'{}' AS payload FROM customers"
		for _, chunk := range []int{3, 2} {
			c.Chunk = chunk
			_, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
			require.ErrorIs(t, err, backfill.ErrConfig)
			require.ErrorContains(t, err, "run per topic")
			require.Equal(t, map[int]int{3: 0, 2: 2}[chunk], count(t, db, "SELECT count(*) FROM outbox_events"))
		}
		// Another version let it send both, and only the markers were left.
		exec(t, db.DB, `UPDATE outbox_backfills SET position = '3', topics = '{"a":2,"b":1}'`)
		_, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
		require.ErrorIs(t, err, backfill.ErrConfig)
		require.Equal(t, 2, count(t, db, "SELECT count(*) FROM outbox_events"))
	})
}

func TestAPartialRunHasNoMarker(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	c := customers(t, db, 3)
	c.Partial = true
	done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
	require.NoError(t, err)
	require.True(t, done.Finished)
	require.Equal(
		t, 3, count(t, db, `SELECT count(*) FROM outbox_events WHERE headers LIKE '%"backfill_partial":"true"%'`),
	)
	require.Zero(t, count(t, db, "SELECT count(*) FROM outbox_events WHERE headers LIKE '%backfill_run%'"))
	require.Equal(t, 3, count(t, db, "SELECT count(*) FROM outbox_events"))
}

func TestAQueryMayEndAsItDoesInAFile(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		c := customers(t, db, 1)
		for i, end := range []string{";\n", " -- all of them", " ; ;"} {
			other := c
			other.Query += end
			done, err := backfill.Run(t.Context(), db.DB, db.Dialect, other)
			require.NoError(t, err, "%d", i)
			require.Equal(t, int64(1), done.Sent)
		}
	})
}

// Not more slowly than it may, which no clock shows, but not faster either.
func TestTheRateIsLimited(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	c := customers(t, db, 30)
	c.Chunk, c.RowsPerSecond = 10, 200
	began := time.Now()
	done, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
	require.NoError(t, err)
	require.Equal(t, int64(3), done.Chunks)
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond, "two waits for 10 rows each")
}
