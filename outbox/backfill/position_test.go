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
