package migrations_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// These are the tests of the tables of 00003. TestTables runs them.

func testScheduledEventsHaveATimeThatCanBeReached(t *testing.T, db dbtest.Database) {
	onAll := []migrations.Dialect{migrations.PostgreSQL, migrations.MySQL, migrations.SQLite}
	for _, c := range []struct {
		deliverAt any
		ok        bool
		where     []migrations.Dialect
	}{
		{"2030-02-28T23:59:59.123456Z", true, []migrations.Dialect{migrations.PostgreSQL, migrations.SQLite}},
		{"2030-02-28 23:59:59.123456", true, []migrations.Dialect{migrations.MySQL}},
		{"9999-12-31T23:59:59.999999Z", true, []migrations.Dialect{migrations.PostgreSQL, migrations.SQLite}},
		{"9999-12-31 23:59:59.999999", true, []migrations.Dialect{migrations.MySQL}},
		{nil, false, onAll},
		{"1969-12-31 23:59:59", false, onAll},
		{"infinity", false, onAll},
		{"10000-01-01T00:00:00Z", false, onAll},
		{"0000-00-00 00:00:00", false, onAll},
		{"2030-02-28 23:59:59", false, []migrations.Dialect{migrations.SQLite}},
		{"2030-02-30T00:00:00.000000Z", false, []migrations.Dialect{migrations.SQLite}},
		{1893456000, false, []migrations.Dialect{migrations.SQLite}},
	} {
		for _, d := range c.where {
			if d != db.Dialect {
				continue
			}
			err := insert(t, db, "outbox_scheduled", map[string]any{"topic": "t", "deliver_at": c.deliverAt})
			if c.ok {
				require.NoError(t, err, "%v", c.deliverAt)
			} else {
				require.Error(t, err, "%v", c.deliverAt)
			}
		}
	}
	require.Error(
		t, insert(t, db, "outbox_scheduled", map[string]any{"topic": "t"}),
		"without a time it belongs into outbox_events",
	)
}

func testRelayLimits(t *testing.T, db dbtest.Database) {
	exec(t, db.DB, "INSERT INTO outbox_events (topic, event_key, payload) VALUES ('t', 'k', 'x')")
	const event = "id, event_id, topic, event_key, event_type, payload, headers, created_at"
	for position, ok := range map[string]bool{"NULL, NULL": true, "7, 4000000000": true, "7, NULL": false,
		"NULL, 0": false} {
		_, err := db.DB.ExecContext(
			t.Context(),
			"INSERT INTO outbox_archive ("+event+", kafka_partition, kafka_offset) SELECT "+event+", "+position+
				" FROM outbox_events",
		)
		require.Equal(t, ok, err == nil, "%s: %v", position, err)
	}
	require.Equal(
		t, 2,
		count(
			t, db,
			"SELECT count(*) FROM outbox_archive WHERE seq >= 1 AND delivered_at >= created_at AND event_key = 'k'",
		),
	)

	exec(
		t, db.DB,
		"INSERT INTO outbox_drops (id, event_id, topic, event_key, error) SELECT id, event_id, topic, event_key, "+
			"'too large' FROM outbox_events",
	)
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_drops WHERE seq >= 1 AND dropped_at IS NOT NULL"))

	const relay = "018f2c3e-7b1a-7cc3-9a3e-0123456789ab"
	require.NoError(
		t, insert(t, db, "outbox_relays", map[string]any{"relay_id": relay, "host": strings.Repeat("ü", 255)}),
	)
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_relays WHERE owned = 0 AND seen_at IS NOT NULL"))
	for _, row := range []map[string]any{
		{"relay_id": relay},
		{"relay_id": "018f2c3e-7b1a-7cc3-9a3e-0123456789ac", "host": strings.Repeat("h", 256)},
		{"relay_id": "018f2c3e-7b1a-7cc3-9a3e-0123456789ac", "owned": -1},
	} {
		require.Error(t, insert(t, db, "outbox_relays", row), "%v", row)
	}
}

// The index of 00003 on a table of 00001 is created once, however often the file is run on MySQL, where a
// file is not a transaction.
func TestMySQLsRelayFileCanBeRunAgain(t *testing.T) {
	t.Parallel()
	db := dbtest.MariaDB(t)
	for _, prefix := range []string{"", "eu_"} { // the index with the prefix is not confused with the first one
		o := migrations.Options{Prefix: prefix}
		apply(t, db, o)
		exec(t, db.DB, "DELETE FROM "+prefix+"postroom_schema WHERE version = 3")
		require.Equal(t, []string{"00003_outbox_relay.sql"}, files(apply(t, db, o)))
		require.Equal(
			t, 2,
			count(
				t, db,
				"SELECT count(*) FROM information_schema.statistics WHERE table_schema = database() AND table_name = '"+
					prefix+"outbox_parked' AND index_name = '"+prefix+"outbox_parked_asked_idx'",
			),
			"two columns",
		)
	}
}
