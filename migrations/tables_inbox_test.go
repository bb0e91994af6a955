package migrations_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func testInboxIDsCompareByBytes(t *testing.T, db dbtest.Database) {
	ids := []string{"ABC", "abc", "ABC ", "ABC  ", "Abc", "ÄBC", "A\u0308BC", "aBC\t"}
	for _, id := range ids {
		require.NoError(t, insert(t, db, "inbox_events", map[string]any{"consumer": "billing", "message_id": id}), "%q",
			id)
		require.Error(t, insert(t, db, "inbox_events", map[string]any{"consumer": "billing", "message_id": id}),
			"%q twice", id)
		require.NoError(t, insert(t, db, "inbox_events", map[string]any{"consumer": "Billing", "message_id": id}),
			"%q of another consumer", id)
	}
	require.Equal(t, 2*len(ids), count(t, db, "SELECT count(*) FROM inbox_events WHERE processed_at IS NOT NULL"))
}

func testInboxLimits(t *testing.T, db dbtest.Database) {
	at := func(row map[string]any, more map[string]any) map[string]any {
		both := map[string]any{}
		for _, m := range []map[string]any{row, more} {
			for k, v := range m {
				both[k] = v
			}
		}
		return both
	}
	ids := map[string]any{"consumer": "c", "message_id": "m"}
	parked := at(ids, map[string]any{"topic": "t"})
	longest := map[string]any{"consumer": strings.Repeat("ü", 50), "message_id": strings.Repeat("m", 255)}
	tooLongConsumer := map[string]any{"consumer": strings.Repeat("ü", 50) + "c", "message_id": "m"}
	tooLongID := map[string]any{"consumer": "c", "message_id": strings.Repeat("ü", 127) + "mm"}
	position := map[string]any{"kafka_topic": strings.Repeat("t", 249), "kafka_partition": 7,
		"kafka_offset": int64(1) << 40}
	cases := []struct {
		name, table string
		row         map[string]any
		ok          bool
	}{
		{"a row", "inbox_events", at(ids, position), true},
		{"longest ids", "inbox_events", longest, true},
		{"consumer of 101 bytes", "inbox_events", tooLongConsumer, false},
		{"message id of 256 bytes", "inbox_events", tooLongID, false},
		{"empty consumer", "inbox_events", map[string]any{"consumer": "", "message_id": "m"}, false},
		{"empty message id", "inbox_events", map[string]any{"consumer": "c", "message_id": ""}, false},
		{"half a position", "inbox_events", map[string]any{"consumer": "c", "message_id": "half", "kafka_offset": 7},
			false},
		{"an attempt", "inbox_attempts", ids, true},
		{"the same attempt", "inbox_attempts", ids, false},
		{"longest ids of an attempt", "inbox_attempts", longest, true},
		{"attempt of a consumer of 101 bytes", "inbox_attempts", tooLongConsumer, false},
		{"attempt of a message id of 256 bytes", "inbox_attempts", tooLongID, false},
		{"negative attempts", "inbox_attempts", map[string]any{"consumer": "c", "message_id": "n", "attempts": -1},
			false},
		{"longest blocked key", "inbox_blocked", map[string]any{"consumer": strings.Repeat("c", 100),
			"topic": strings.Repeat("📮", 249), "event_key": strings.Repeat("k", 512)}, true},
		{"blocked key of 513 bytes", "inbox_blocked", map[string]any{"consumer": "c", "topic": "t",
			"event_key": strings.Repeat("k", 513)}, false},
		{"blocked without a key", "inbox_blocked", map[string]any{"consumer": "c", "topic": "t", "event_key": nil},
			false},
		{"parked", "inbox_parked", at(parked, position), true},
		{"parked again", "inbox_parked", parked, true},
		{"parked in an unknown state", "inbox_parked", at(parked, map[string]any{"state": "lost"}), false},
		{"parked with headers that are no object", "inbox_parked", at(parked, map[string]any{"headers": "[]"}), false},
		{"parked with a NUL in a header", "inbox_parked", at(parked, map[string]any{"headers": `{"a": "\u0000"}`}),
			true},
		{"parked at half a position", "inbox_parked", at(parked, map[string]any{"kafka_topic": "t"}), false},
	}
	for _, c := range cases {
		err := insert(t, db, c.table, c.row)
		if c.ok {
			require.NoError(t, err, "%s: %s", c.table, c.name)
		} else {
			require.Error(t, err, "%s: %s", c.table, c.name)
		}
	}
}
