package outbox_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	postroomdb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/outbox"
)

// The table takes what Add takes: it counts in the same units, and its limits are not lower, however the database
// writes the JSON of the headers.
func whatAddTakesNoConstraintRefuses(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db, outbox.WithAnyTopic())
	for _, part := range []string{"topic", "key", "type", "headers", "value"} {
		t.Run(part, func(t *testing.T) {
			tx := begin(t, db.DB)
			taken, refused := 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				e := nearTheLimit(rt, part)
				if ob.Check(e) != nil {
					refused++
					return
				}
				taken++
				if err := ob.Add(t.Context(), tx, e); err != nil {
					rt.Fatalf("Add took it, the table did not: %v", err)
				}
			})
			require.NoError(t, tx.Rollback())
			require.Positive(t, taken, "some sizes must be within the limit, or the test shows nothing")
			require.Positive(t, refused, "some sizes must be beyond the limit, or the test shows nothing")
		})
	}
}

// nearTheLimit draws an event of which one part is near its limit. Its sizes follow the limits.
func nearTheLimit(t *rapid.T, part string) outbox.Event {
	runes := rapid.SampledFrom([]string{"a", "ü", "訂", "🛒", `"`, `\`, "<", "\t", " ", "'", "\x7f", "\u2028"})
	text := func(label string, length int) string {
		var b strings.Builder
		pattern := rapid.SliceOfN(runes, 1, 4).Draw(t, label)
		for i := range length {
			b.WriteString(pattern[i%len(pattern)])
		}
		return b.String()
	}
	around := func(limit int) *rapid.Generator[int] { return rapid.IntRange(limit-2, limit+2) }
	e := outbox.Event{Topic: "t", Payload: []byte("x")}
	switch part {
	case "topic":
		length := rapid.OneOf(rapid.IntRange(1, outbox.MaxTopic), around(outbox.MaxTopic))
		e.Topic = text("topic", length.Draw(t, "characters"))
	case "key": // of up to 4 bytes a character
		e.Key = text("key", rapid.IntRange(outbox.MaxKey/4-8, outbox.MaxKey+8).Draw(t, "characters"))
	case "type":
		e.Type = text("type", around(outbox.MaxType).Draw(t, "characters"))
	case "headers": // many small ones of 13 to 25 bytes: the spaces that a database puts between them count
		count := rapid.IntRange(outbox.MaxHeaders/23, outbox.MaxHeaders/15).Draw(t, "headers")
		value := text("value", rapid.IntRange(0, 2).Draw(t, "characters"))
		e.Headers = map[string]string{}
		for i := range count {
			e.Headers[fmt.Sprintf("h%04d", i)] = value
		}
	case "value": // one large one: escapes count
		pattern := text("value", rapid.IntRange(1, 6).Draw(t, "characters"))
		size := rapid.IntRange(outbox.MaxHeaders*7/8, outbox.MaxHeaders*17/16).Draw(t, "bytes")
		e.Headers = map[string]string{"h": strings.Repeat(pattern, size/len(pattern))}
	}
	return e
}

func addTakesEachPartUpToItsLimit(t *testing.T, db dbtest.Database) {
	// {"h":"…"} is 8 bytes, and 2 more for the spaces that a database may add.
	headers := map[string]string{"h": strings.Repeat("v", outbox.MaxHeaders-8-2)}
	ob := newOutbox(t, db)
	add(t, db, ob, outbox.Event{
		Topic: strings.Repeat("t", outbox.MaxTopic), Key: strings.Repeat("k", outbox.MaxKey),
		Type: strings.Repeat("訂", outbox.MaxType), Headers: headers,
	})
	require.Len(t, rowsOf(t, db.DB), 1)
	headers["h"] += "v"
	require.ErrorIs(t, ob.Check(outbox.Event{Topic: "t", Headers: headers}), outbox.ErrTooLarge)
}

// The table has limits of its own, for what other programs write. They stay when a limit of Add becomes lower, so they
// are numbers here.
func theTableRefusesWhatIsBeyondItsOwnLimits(t *testing.T, db dbtest.Database) {
	for name, row := range map[string]store.EventRow{
		"no topic":                  {Topic: "", Headers: "{}"},
		"a topic of 250 characters": {Topic: strings.Repeat("ü", 250), Headers: "{}"},
		"a key of 513 bytes":        {Topic: "t", Key: strings.Repeat("k", 513), Headers: "{}"},
		"a type of 256 characters":  {Topic: "t", Type: strings.Repeat("y", 256), Headers: "{}"},
		"headers of 16 KiB + 1":     {Topic: "t", Headers: `{"h":"` + strings.Repeat("v", 16<<10) + `"}`},
		"headers that are a list":   {Topic: "t", Headers: `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			writer, err := store.New(postroomdb.Names{Dialect: db.Dialect})
			require.NoError(t, err)
			tx := begin(t, db.DB)
			require.Error(t, writer.InsertEvents(t.Context(), tx, []store.EventRow{row}))
			require.NoError(t, tx.Rollback())
		})
	}
}

// MariaDB takes 16 MiB per statement by default: three events of 6 MiB have to go in
// several, and the zeros would double in size where a driver escapes them.
func addSplitsPayloadsThatTogetherAreTooLarge(t *testing.T, db dbtest.Database) {
	payloads := [][]byte{
		bytes.Repeat([]byte("a"), 6<<20), make([]byte, 6<<20), bytes.Repeat([]byte(`'`), 6<<20), []byte("small"),
	}
	var events []outbox.Event
	for _, p := range payloads {
		events = append(events, outbox.Event{Topic: "t", Payload: p})
	}
	add(t, db, newOutbox(t, db), events...)
	for i, r := range rowsOf(t, db.DB) {
		require.True(t, bytes.Equal(payloads[i], r.Payload), "payload %d", i)
	}
}

func addTakesAPayloadOf16MiBWhereTheServerDoes(t *testing.T, db dbtest.Database) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	require.Len(t, payload, outbox.MaxPayload)
	ob := newOutbox(t, db)
	if db.Dialect != outbox.MySQL {
		add(t, db, ob, outbox.Event{Topic: "t", Payload: payload})
		require.True(t, bytes.Equal(payload, rowsOf(t, db.DB)[0].Payload))
		return
	}
	var packet int
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT @@max_allowed_packet").Scan(&packet))
	require.LessOrEqual(t, packet, 16<<20, "this test wants the server's default")
	tx := begin(t, db.DB)
	err := ob.Add(t.Context(), tx, outbox.Event{Topic: "t", Payload: payload})
	require.ErrorContains(t, err, "max_allowed_packet: raise it to 64M")
	_ = tx.Rollback() // the server has closed the connection
	require.Empty(t, rowsOf(t, db.DB))

	// Just below the packet it goes.
	add(t, db, ob, outbox.Event{Topic: "t", Payload: payload[:len(payload)-1024]})
	require.Len(t, rowsOf(t, db.DB), 1)
}
