package migrations_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// insert writes one row from columns and values.
func insert(t *testing.T, db dbtest.Database, table string, row map[string]any) error {
	t.Helper()
	var columns, marks []string
	var values []any
	for column, value := range row {
		columns = append(columns, column)
		values = append(values, value)
		mark := "?"
		if db.Dialect == migrations.PostgreSQL {
			mark = fmt.Sprintf("$%d", len(values))
		}
		marks = append(marks, mark)
	}
	_, err := db.DB.ExecContext(t.Context(), "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+
		strings.Join(marks, ", ")+")", values...)
	return err
}

// TestTables tests the tables on every server. Each part begins with empty tables.
func TestTables(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{})
		for _, c := range []struct {
			name string
			test func(*testing.T, dbtest.Database)
		}{
			{"an insert of topic and payload is enough", testAnInsertOfTopicAndPayloadIsEnough},
			{"events keep to their limits", testEventLimits},
			{"outbox_events has its primary key as only index", testOutboxEventsHasItsPrimaryKeyAsOnlyIndex},
			{"the lease table has one row and takes no second", testTheLeaseTableHasOneRowAndTakesNoSecond},
			{"inbox ids compare by bytes", testInboxIDsCompareByBytes},
			{"keys compare by bytes", testKeysCompareByBytes},
			{"inbox tables keep to their limits", testInboxLimits},
			{"scheduled events have a time that can be reached", testScheduledEventsHaveATimeThatCanBeReached},
			{"the relay's own tables keep to their limits", testRelayLimits},
			{"parked events keep their event and a known state", testParkedEventsKeepTheirEventAndAKnownState},
		} {
			t.Run(c.name, func(t *testing.T) { c.test(t, db) })
			for _, table := range []string{"outbox_events", "outbox_parked", "outbox_scheduled", "outbox_archive",
				"outbox_relays", "outbox_drops", "outbox_backfills", "inbox_replica_rows", "inbox_replica_runs",
				"inbox_events", "inbox_attempts", "inbox_blocked", "inbox_parked", "inbox_offsets"} {
				exec(t, db.DB, "DELETE FROM "+table)
			}
		}
	})
}

func testAnInsertOfTopicAndPayloadIsEnough(t *testing.T, db dbtest.Database) {
	for range 2 {
		exec(t, db.DB, `INSERT INTO outbox_events (topic, payload) VALUES ('orders', '{"total": 3}')`)
	}
	createdAt := map[migrations.Dialect]string{
		migrations.PostgreSQL: `to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
		migrations.MySQL:      `date_format(created_at, '%Y-%m-%dT%H:%i:%s.%fZ')`,
		migrations.SQLite:     `created_at`,
	}[db.Dialect]
	rows, err := db.DB.QueryContext(t.Context(), "SELECT id, event_id, event_key, event_type, payload, headers, "+
		createdAt+" FROM outbox_events ORDER BY id")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var seen []string
	var last int64
	for rows.Next() {
		var (
			id                                int64
			eventID, eventType, headers, made string
			key                               *string
			payload                           []byte
		)
		require.NoError(t, rows.Scan(&id, &eventID, &key, &eventType, &payload, &headers, &made))
		require.Greater(t, id, last)
		last = id
		parsed, err := uuid.Parse(eventID)
		require.NoError(t, err)
		require.Equal(t, parsed.String(), eventID, "lower case, 36 characters")
		require.Equal(t, uuid.RFC4122, parsed.Variant())
		if db.Dialect != migrations.MySQL { // MySQL's uuid() has version 1
			require.Equal(t, uuid.Version(4), parsed.Version())
		}
		require.Nil(t, key)
		require.Empty(t, eventType)
		require.Equal(t, `{"total": 3}`, string(payload))
		require.Equal(t, "{}", headers)
		at, err := time.Parse("2006-01-02T15:04:05.000000Z", made)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
		seen = append(seen, eventID)
	}
	require.NoError(t, rows.Err())
	require.Len(t, seen, 2)
	require.NotEqual(t, seen[0], seen[1])
}

func TestSQLitesDefaultIDsAreVersion4OfTheRightVariant(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	apply(t, db, migrations.Options{})
	exec(t, db.DB, `INSERT INTO outbox_events (topic)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT 'x' FROM n`)
	require.Equal(t, 2000, count(t, db, "SELECT count(DISTINCT event_id) FROM outbox_events WHERE event_id GLOB "+
		"'????????-????-4???-[89ab]???-????????????'"))
}

func TestSQLiteNeverHandsOutAnIDTwice(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	apply(t, db, migrations.Options{})
	exec(t, db.DB, "INSERT INTO outbox_events (topic) VALUES ('a'), ('b')")
	exec(t, db.DB, "DELETE FROM outbox_events")
	exec(t, db.DB, "INSERT INTO outbox_events (topic) VALUES ('c')")
	require.Equal(t, 3, count(t, db, "SELECT max(id) FROM outbox_events"))
}

// headers returns a JSON object whose text has n bytes in every database. It has one member, in the format of
// PostgreSQL and MySQL 8.
func headers(n int) string {
	return `{"k": "` + strings.Repeat("v", n-len(`{"k": ""}`)) + `"}`
}

// deliverAtLength is the length to which a time is cut for a dialect. MySQL accepts no Z.
var deliverAtLength = map[migrations.Dialect]int{migrations.PostgreSQL: 27, migrations.MySQL: 26, migrations.SQLite: 27}

func testEventLimits(t *testing.T, db dbtest.Database) {
	const mib = 1 << 20
	onAll := []migrations.Dialect{migrations.PostgreSQL, migrations.MySQL, migrations.SQLite}
	noTypes := []migrations.Dialect{migrations.SQLite}
	noUUID := []migrations.Dialect{migrations.MySQL, migrations.SQLite}
	cases := []struct {
		name   string
		row    map[string]any
		ok     bool
		where  []migrations.Dialect
		except string // a server that cannot be tested
	}{
		{"topic of 1 character", map[string]any{"topic": "t"}, true, onAll, ""},
		{"topic of 249 characters", map[string]any{"topic": strings.Repeat("t", 249)}, true, onAll, ""},
		{"topic of 249 characters of 2 bytes", map[string]any{"topic": strings.Repeat("ü", 249)}, true, onAll, ""},
		{"topic of 249 characters of 4 bytes", map[string]any{"topic": strings.Repeat("📮", 249)}, true, onAll, ""},
		{"topic of 250 characters", map[string]any{"topic": strings.Repeat("t", 250)}, false, onAll, ""},
		{"topic of 250 characters of 2 bytes", map[string]any{"topic": strings.Repeat("ü", 250)}, false, onAll, ""},
		{"empty topic", map[string]any{"topic": ""}, false, onAll, ""},
		{"no topic", map[string]any{"payload": []byte("x")}, false, onAll, ""},
		{"topic NULL", map[string]any{"topic": nil}, false, onAll, ""},
		{"topic with a NUL that hides its length", map[string]any{"topic": "t\x00" + strings.Repeat("t", 300)}, false,
			onAll, ""},
		{"topic that is a blob", map[string]any{"topic": []byte("t")}, false, noTypes, ""},

		{"key of 512 bytes", map[string]any{"topic": "t", "event_key": strings.Repeat("k", 512)}, true, onAll, ""},
		{"key of 512 bytes in 256 characters", map[string]any{"topic": "t", "event_key": strings.Repeat("ü", 256)},
			true, onAll, ""},
		{"key of 513 bytes", map[string]any{"topic": "t", "event_key": strings.Repeat("k", 513)}, false, onAll, ""},
		{"key of 257 characters in 514 bytes", map[string]any{"topic": "t", "event_key": strings.Repeat("ü", 257)},
			false, onAll, ""},
		{"key NULL", map[string]any{"topic": "t", "event_key": nil}, true, onAll, ""},
		{"key that is a blob", map[string]any{"topic": "t", "event_key": []byte("k")}, false, noTypes, ""},

		{"type of 255 characters", map[string]any{"topic": "t", "event_type": strings.Repeat("ü", 255)}, true, onAll,
			""},
		{"type of 256 characters", map[string]any{"topic": "t", "event_type": strings.Repeat("t", 256)}, false, onAll,
			""},
		{"type NULL", map[string]any{"topic": "t", "event_type": nil}, false, onAll, ""},

		{"payload empty", map[string]any{"topic": "t", "payload": []byte{}}, true, onAll, ""},
		{"payload NULL", map[string]any{"topic": "t", "payload": nil}, true, onAll, ""},
		{"payload of every byte", map[string]any{"topic": "t", "payload": everyByte()}, true, onAll, ""},
		{"payload of 16 MiB", map[string]any{"topic": "t", "payload": bytes.Repeat([]byte("p"), 16*mib)}, true, onAll,
			dbtest.FlavorMariaDB},
		{"payload of 16 MiB and a byte", map[string]any{"topic": "t", "payload": bytes.Repeat([]byte("p"), 16*mib+1)},
			false, onAll, dbtest.FlavorMariaDB},
		{"payload that is a number", map[string]any{"topic": "t", "payload": 1}, false, noTypes, ""},

		{"headers with members", map[string]any{"topic": "t", "headers": `{"a": "b", "c": 1}`}, true, onAll, ""},
		{"headers of 16 KiB", map[string]any{"topic": "t", "headers": headers(16384)}, true, onAll, ""},
		{"headers of 16 KiB and a byte", map[string]any{"topic": "t", "headers": headers(16385)}, false, onAll, ""},
		{"headers an array", map[string]any{"topic": "t", "headers": `["a"]`}, false, onAll, ""},
		{"headers a string", map[string]any{"topic": "t", "headers": `"a"`}, false, onAll, ""},
		{"headers null in JSON", map[string]any{"topic": "t", "headers": `null`}, false, onAll, ""},
		{"headers NULL", map[string]any{"topic": "t", "headers": nil}, false, onAll, ""},
		{"headers not JSON", map[string]any{"topic": "t", "headers": `{a`}, false, onAll, ""},

		{"event_id given", map[string]any{"topic": "t", "event_id": "018f2c3e-7b1a-7cc3-9a3e-0123456789ab"}, true,
			onAll, ""},
		{"the same event_id again", map[string]any{"topic": "t", "event_id": "018f2c3e-7b1a-7cc3-9a3e-0123456789ab"},
			true, onAll, ""},
		{"event_id no UUID", map[string]any{"topic": "t", "event_id": "order-1"}, false, onAll, ""},
		{"event_id in upper case", map[string]any{"topic": "t", "event_id": "018F2C3E-7B1A-7CC3-9A3E-0123456789AB"},
			false, noUUID, ""},
		{"event_id NULL", map[string]any{"topic": "t", "event_id": nil}, false, onAll, ""},

		{"created_at NULL", map[string]any{"topic": "t", "created_at": nil}, false, onAll, ""},
		{"created_at before 1970", map[string]any{"topic": "t", "created_at": "1969-12-31 23:59:59"}, false, onAll, ""},
		{"created_at infinity", map[string]any{"topic": "t", "created_at": "infinity"}, false, onAll, ""},
		{"created_at of the contract", map[string]any{"topic": "t", "created_at": "2024-02-29T23:59:59.123456Z"}, true,
			noTypes, ""},
		{"created_at without a fraction", map[string]any{"topic": "t", "created_at": "2024-02-29T23:59:59Z"}, false,
			noTypes, ""},
		{"created_at in month 13", map[string]any{"topic": "t", "created_at": "2024-13-01T00:00:00.000000Z"}, false,
			noTypes, ""},
		{"created_at on 30 February", map[string]any{"topic": "t", "created_at": "2024-02-30T00:00:00.000000Z"}, false,
			noTypes, ""},
	}
	for _, c := range cases {
		for _, d := range c.where {
			if d != db.Dialect || c.except == db.Flavor {
				continue
			}
			for _, table := range []string{"outbox_events", "outbox_scheduled"} {
				row, ok := maps.Clone(c.row), c.ok
				if table == "outbox_scheduled" {
					row["deliver_at"] = "2030-01-01T00:00:00.000000Z"[:deliverAtLength[db.Dialect]]
					ok = ok && c.name != "the same event_id again"
				}
				if err := insert(t, db, table, row); ok {
					require.NoError(t, err, "%s: %s", table, c.name)
				} else {
					require.Error(t, err, "%s: %s", table, c.name)
				}
			}
		}
	}
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// A payload of 16 MiB does not fit into MariaDB's default packet, so the test creates the row inside the
// server.
func TestMariaDBsPayloadLimit(t *testing.T) {
	t.Parallel()
	db := dbtest.MariaDB(t)
	apply(t, db, migrations.Options{})
	exec(t, db.DB, "INSERT INTO outbox_events (topic, payload) VALUES ('t', repeat('p', 8388608))")
	exec(t, db.DB, "UPDATE outbox_events SET payload = concat(payload, left(payload, 8388607))")
	var limit int
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT @@max_allowed_packet").Scan(&limit))
	if limit > 16<<20 {
		exec(t, db.DB, "UPDATE outbox_events SET payload = concat(payload, 'p')")
		_, err := db.DB.ExecContext(t.Context(), "UPDATE outbox_events SET payload = concat(payload, 'p')")
		require.ErrorContains(t, err, "outbox_events_payload_check")
	}
}

func TestPostgreSQLRefusesAnExplicitID(t *testing.T) {
	t.Parallel()
	for _, open := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.PostgreSQL18} {
		db := open(t)
		apply(t, db, migrations.Options{})
		// generated_always
		require.ErrorContains(t, insert(t, db, "outbox_events", map[string]any{"id": 7, "topic": "t"}), "428C9")
		require.Equal(t, 1, count(t, db, "SELECT seqcache FROM pg_sequence WHERE seqrelid = "+
			"pg_get_serial_sequence('outbox_events', 'id')::regclass"))
	}
}

func testOutboxEventsHasItsPrimaryKeyAsOnlyIndex(t *testing.T, db dbtest.Database) {
	indexes := map[migrations.Dialect]string{
		migrations.PostgreSQL: "SELECT count(*) - 1 FROM pg_indexes WHERE tablename = 'outbox_events'",
		migrations.MySQL: "SELECT count(*) - 1 FROM information_schema.statistics WHERE table_schema = " +
			"database() AND table_name = 'outbox_events'",
		migrations.SQLite: "SELECT count(*) FROM pragma_index_list('outbox_events')",
	}[db.Dialect]
	require.Equal(t, 0, count(t, db, indexes))
}

func testTheLeaseTableHasOneRowAndTakesNoSecond(t *testing.T, db dbtest.Database) {
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_leases WHERE id = 1 AND source IS NULL AND owner "+
		"IS NULL AND epoch = 0 AND expires_at IS NULL AND mode IS NULL"))
	var sourceID, hints string
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT source_id, hints FROM outbox_leases").Scan(&sourceID,
		&hints))
	_, err := uuid.Parse(sourceID)
	require.NoError(t, err)
	require.Equal(t, "{}", hints)

	for _, statement := range []string{
		"INSERT INTO outbox_leases (id) VALUES (1)",
		"INSERT INTO outbox_leases (id) VALUES (2)",
		"UPDATE outbox_leases SET id = 2",
		"UPDATE outbox_leases SET mode = 'sometimes'",
		"UPDATE outbox_leases SET source = ''",
		"UPDATE outbox_leases SET source_id = NULL",
		"UPDATE outbox_leases SET epoch = -1",
		"UPDATE outbox_leases SET hints = '[]'",
	} {
		_, err := db.DB.ExecContext(t.Context(), statement)
		require.Error(t, err, statement)
	}
	exec(t, db.DB, "UPDATE outbox_leases SET source = 'default', owner = 'o', epoch = epoch + 1, mode = "+
		"'exactly-once', hints = '{\"a\": 1}'")
}

func TestMySQLHas1024KeyLocks(t *testing.T) {
	t.Parallel()
	db := dbtest.MariaDB(t)
	apply(t, db, migrations.Options{})
	require.Equal(t, 1024, count(t, db, "SELECT count(*) FROM outbox_key_locks WHERE slot BETWEEN 0 AND 1023"))
	require.Equal(t, 1024, count(t, db, "SELECT count(*) FROM outbox_key_locks"))
}

func testKeysCompareByBytes(t *testing.T, db dbtest.Database) {
	keys := []string{"ABC", "abc", "ABC ", "ABC  "}
	for _, key := range keys {
		require.NoError(t, insert(t, db, "outbox_events", map[string]any{"topic": "t", "event_key": key}))
		require.NoError(t, insert(t, db, "inbox_blocked", map[string]any{"consumer": "c", "topic": "t",
			"event_key": key}))
	}
	require.Equal(t, len(keys), count(t, db, "SELECT count(DISTINCT event_key) FROM outbox_events"))
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_events WHERE event_key = 'ABC'"))
}

func testParkedEventsKeepTheirEventAndAKnownState(t *testing.T, db dbtest.Database) {
	exec(t, db.DB, "INSERT INTO outbox_events (topic, event_key, payload) VALUES ('t', 'k', 'x')")
	exec(t, db.DB, `INSERT INTO outbox_parked
		(id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error)
		SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, 1, 'too large'
		FROM outbox_events`)
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_parked WHERE seq >= 1 AND state = 'failed' AND NOT "+
		"overtaken AND parked_at IS NOT NULL"))
	_, err := db.DB.ExecContext(t.Context(), "UPDATE outbox_parked SET state = 'gone'")
	require.Error(t, err)
	exec(t, db.DB, "UPDATE outbox_parked SET state = 'retry', overtaken = true")
}

func TestPostgreSQLsAutovacuumSettingsAreInForce(t *testing.T) {
	t.Parallel()
	db := dbtest.PostgreSQL(t)
	apply(t, db, migrations.Options{})
	for table, settings := range map[string][]string{
		"outbox_events": {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=5000",
			"autovacuum_vacuum_cost_delay=0", "vacuum_truncate=off"},
		"outbox_scheduled": {"autovacuum_vacuum_scale_factor=0.01", "autovacuum_vacuum_threshold=5000",
			"autovacuum_vacuum_cost_delay=0", "vacuum_truncate=off"},
		"outbox_archive": {"autovacuum_vacuum_scale_factor=0.02", "autovacuum_vacuum_cost_delay=0"},
		"outbox_relays":  {"fillfactor=10", "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=200"},
	} {
		var options string
		require.NoError(t, db.DB.QueryRowContext(t.Context(),
			"SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = $1", table).Scan(&options))
		for _, want := range settings {
			require.Contains(t, strings.Split(options, " "), want, table)
		}
	}
}
