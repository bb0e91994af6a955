package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

var valueScenarios = []scenario{
	{name: "an INSERT by hand with a topic and a payload is delivered", run: plainInsert},
	{name: "empty payloads and tombstones are told apart", run: emptyAndTombstone},
	{name: "every byte of a payload arrives", run: everyByte},
	{name: "keys arrive byte by byte, and are told apart by bytes", run: keys},
	{name: "headers arrive: strings as they are, other JSON compact", run: headers},
	{name: "one transaction may write more than a statement takes", run: manyInOneTransaction, long: true},
	{name: "topics of all lengths and alphabets that the table takes arrive", run: topics},
}

// relayAll runs a relay until the outbox is empty, and returns what was published.
func (w *world) relayAll() []published {
	w.t.Helper()
	run := w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	return w.sink.all()
}

func header(p published, name string) string {
	for _, h := range p.headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

func plainInsert(w *world) {
	w.exec("INSERT INTO {outbox_events} (topic, payload) VALUES ('orders', '{\"id\": 1}')")
	w.exec("INSERT INTO {outbox_events} (topic) VALUES ('orders')")
	var id string
	require.NoError(
		w.t, w.db.DB.QueryRow(w.names.Expand("SELECT event_id FROM {outbox_events} ORDER BY id LIMIT 1")).Scan(&id),
	)
	all := w.relayAll()
	require.Len(w.t, all, 2)
	require.Equal(w.t, "orders", all[0].topic)
	require.Equal(w.t, `{"id": 1}`, string(all[0].value))
	require.Nil(w.t, all[0].key)
	require.Equal(w.t, id, all[0].eventID.String())
	require.Equal(w.t, id, header(all[0], relay.HeaderMessageUUID))
	require.Regexp(w.t, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, header(all[0], relay.HeaderCreatedAt))
	require.Len(w.t, all[0].headers, 2)
	require.Nil(w.t, all[1].value)
}

func emptyAndTombstone(w *world) {
	w.commitEvents(
		outbox.Event{Topic: "orders", Key: "k", Payload: []byte{}},
		outbox.Event{Topic: "orders", Key: "k", Payload: nil},
		outbox.Event{Topic: "orders", Payload: []byte{0}},
	)
	w.exec("INSERT INTO {outbox_events} (topic, event_key, payload) VALUES ('orders', '', '')")
	all := w.relayAll()
	require.Len(w.t, all, 4)
	require.NotNil(w.t, all[0].value)
	require.Empty(w.t, all[0].value)
	require.Nil(w.t, all[1].value)
	require.Equal(w.t, []byte{0}, all[2].value)
	require.Nil(w.t, all[2].key, "no key")
	require.NotNil(w.t, all[3].key, "an empty key is a key")
	require.NotNil(w.t, all[3].value)
}

func everyByte(w *world) {
	var each []byte
	for b := range 256 {
		each = append(each, byte(b))
	}
	var events []outbox.Event
	for b := range 256 {
		events = append(events, outbox.Event{Topic: "orders", Key: "k", Payload: []byte{byte(b)}})
	}
	reversed := slices.Clone(each)
	slices.Reverse(reversed)
	large := []byte(strings.Repeat(string(each), 4096)) // 1 MiB
	for _, payload := range [][]byte{each, reversed, large} {
		events = append(events, outbox.Event{Topic: "orders", Key: "k", Payload: payload})
	}
	w.commitEvents(events...)
	all := w.relayAll()
	require.Len(w.t, all, len(events))
	for i, e := range events {
		require.True(w.t, string(e.Payload) == string(all[i].value), "payload %d", i)
	}
}

func keys(w *world) {
	all := []string{
		"ABC", "abc", "Abc", "ABC ", "ABC  ", " ABC", "abc\t", "a\nb",
		"é", "e\u0301", "É", "straße", "strasse", "北京", "日本語", "😀", "ß", "ẞ", "\u200b", "İ", "i", "ı",
		"'; DROP TABLE outbox_events; --", `\`, `\\`, `"`, "`", "%", "_", "\x01", "\x7f", "{}", "NULL", "null", "0",
		"00",
		strings.Repeat("k", 512), strings.Repeat("k", 511) + "K", strings.Repeat("é", 256),
	}
	var events []outbox.Event
	for round := range 3 {
		for i, key := range all {
			events = append(events, event(key, fmt.Sprint(i, ":", round+1)))
		}
	}
	w.commitEvents(events...)
	got := w.relayAll()
	require.Len(w.t, got, len(events))
	for i, e := range events {
		require.Equal(w.t, e.Key, string(got[i].key))
		require.Equal(w.t, string(e.Payload), string(got[i].value))
	}
}

func headers(w *world) {
	w.commitEvents(outbox.Event{Topic: "orders", Type: "order.placed", Headers: map[string]string{
		"plain": "value", "empty": "", "quotes": `say "hi" \ /`, "unicode": "grüße 😀", "json": `{"a": 1}`,
		"spaces": "  two  ",
	}})
	w.commitEvents(outbox.Event{Topic: "orders", Type: "order.placed", Headers: map[string]string{"name": "mine"}})
	object := `{"n": 12, "f": 1.5, "yes": true, "nothing": null, "list": [1, "a", {"b": 2}], "object": {"x": "y z"},
 "s": "text", "_watermill_message_uuid": "forged", "postroom_created_at": "forged"}`
	w.exec("INSERT INTO {outbox_events} (topic, headers) VALUES ('orders', '" + object + "')")
	all := w.relayAll()
	require.Len(w.t, all, 3)
	for name, want := range map[string]string{
		"plain": "value", "empty": "", "quotes": `say "hi" \ /`, "unicode": "grüße 😀", "json": `{"a": 1}`,
		"spaces":         "  two  ",
		relay.HeaderName: "order.placed",
	} {
		require.Equal(w.t, want, header(all[0], name), name)
	}
	require.Len(w.t, all[0].headers, 9)
	require.Equal(w.t, "mine", header(all[1], relay.HeaderName))
	for name, want := range map[string]string{
		"n": "12", "f": "1.5", "yes": "true", "nothing": "null", "s": "text",
		"list": `[1,"a",{"b":2}]`, "object": `{"x":"y z"}`, relay.HeaderMessageUUID: all[2].eventID.String(),
	} {
		require.Equal(w.t, want, header(all[2], name), name)
	}
	require.NotEqual(w.t, "forged", header(all[2], relay.HeaderCreatedAt))
	for _, p := range all {
		require.True(
			w.t, slices.IsSortedFunc(p.headers, func(a, b relay.Header) int { return strings.Compare(a.Name, b.Name) }),
			p.headers,
		)
	}
}

func manyInOneTransaction(w *world) {
	n := 10_000 // of seven columns each: more than 65,535 parameters
	if w.sqlite() {
		n = 5_000 // more than 32,766
	}
	w.commit("k", numbered("k", n)...)
	w.relayAll()
	requireOrder(w.t, w.sink.values(), "k", n)
}

func topics(w *world) {
	ob, err := outbox.New(
		w.db.Dialect, outbox.WithAnyTopic(), outbox.WithTablePrefix(w.names.Prefix), outbox.WithSchema(w.names.Schema),
	)
	require.NoError(w.t, err)
	all := []string{
		"a", "Orders", "orders", "orders ", "orders.placed-v1_x", strings.Repeat("t", 249), strings.Repeat("ü", 249),
		"日本語", "a/b:c",
	}
	tx := w.begin()
	for _, topic := range all {
		require.NoError(w.t, ob.Add(w.t.Context(), tx, outbox.Event{Topic: topic, Payload: []byte("x")}))
	}
	require.NoError(w.t, tx.Commit())
	var got []string
	for _, p := range w.relayAll() {
		got = append(got, p.topic)
	}
	require.Equal(w.t, all, got)
}
