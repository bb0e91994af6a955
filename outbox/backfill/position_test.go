package backfill_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
)

// The place of a run is kept as JSON text: bytes would come back changed, and a resumed run would leave
// rows out. SQLite, where bytes come after every text, sent the same chunk for ever.
func TestABinaryPositionIsRefused(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		column, value := "varbinary(16)", "x'ff01'"
		if db.Dialect == "postgresql" {
			column, value = "bytea", `'\xff01'`
		}
		exec(t, db.DB, "CREATE TABLE binaries (id "+column+" PRIMARY KEY)")
		exec(t, db.DB, "INSERT INTO binaries VALUES ("+value+")")
		_, err := backfill.Run(t.Context(), db.DB, db.Dialect, backfill.Config{Name: "binaries", Position: "id",
			Query: "SELECT id, 'b' AS topic, 'k' AS event_key, 't' AS event_type, '{}' AS payload FROM binaries"})
		require.ErrorContains(t, err, "such as hex(id)")
		require.Zero(t, count(t, db, "SELECT count(*) FROM outbox_events"))
	})
}

// A row whose position is that of another, or NULL, would be left out where a chunk ends,
// and then removed from the replica.
func TestARowThatWouldBeLeftOutIsRefused(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		like := map[string]string{"postgresql": "a", "mysql": "A", "sqlite": "A"}[string(db.Dialect)]
		column := map[string]string{
			"postgresql": "text", "mysql": "varchar(10) COLLATE utf8mb4_general_ci", "sqlite": "TEXT COLLATE NOCASE",
		}[string(db.Dialect)]
		exec(t, db.DB, "CREATE TABLE things (code "+column+")")
		c := backfill.Config{Name: "things", Position: "code",
			Query: "SELECT code, 'b' AS topic, '' AS event_key, '' AS event_type, '{}' AS payload FROM things"}
		for _, chunk := range []int{1, 2, 3, 100} {
			exec(t, db.DB, "DELETE FROM things")
			exec(t, db.DB, "INSERT INTO things VALUES ('a'), ('"+like+"'), ('b')")
			c.Chunk = chunk
			_, err := backfill.Run(t.Context(), db.DB, db.Dialect, c)
			require.ErrorIs(t, err, backfill.ErrConfig, "%d rows a chunk", chunk)
			require.ErrorContains(t, err, "same code")

			exec(t, db.DB, "DELETE FROM things")
			exec(t, db.DB, "INSERT INTO things VALUES ('a'), (NULL)")
			_, err = backfill.Run(t.Context(), db.DB, db.Dialect, c)
			require.ErrorIs(t, err, backfill.ErrConfig)
			require.ErrorContains(t, err, "no code (NULL)")
		}
		require.Zero(t, count(t, db, "SELECT count(*) FROM outbox_events"))
	})
}

// The usual primary key of MySQL, which its driver hands over as an unsigned number.
func TestAnUnsignedPositionIsTaken(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	exec(t, db.DB, "CREATE TABLE things (id bigint unsigned PRIMARY KEY)")
	exec(
		t, db.DB,
		"INSERT INTO things VALUES (1), (2), (9223372036854775807), (9223372036854775808), (18446744073709551615)",
	)
	done, err := backfill.Run(t.Context(), db.DB, db.Dialect, backfill.Config{Name: "things", Position: "id", Chunk: 2,
		Query: "SELECT id, 'b' AS topic, CAST(id AS CHAR) AS event_key, '' AS event_type, '{}' AS payload FROM things"})
	require.NoError(t, err)
	require.EqualValues(t, 5, done.Sent)
	require.Equal(
		t, 6, count(t, db, "SELECT count(DISTINCT event_key) FROM outbox_events"), "each once, and the marker",
	)
}
