package outboxtest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

// failing is a test that keeps what it failed with.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure runs fn as a test of its own and returns what it failed with, or "".
func failure(t *testing.T, fn func(t testing.TB)) string {
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(f)
	}()
	<-done
	return f.message
}

func TestEventsReadsWhatWaits(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		ob, err := outbox.New(db.Dialect)
		require.NoError(t, err)
		require.Empty(t, outboxtest.Events(t, db.DB, ob))
		want := []outbox.Event{
			{
				ID: uuid.New(), Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte("{}"),
				Headers: map[string]string{"a": "b", "name": "n"},
			},
			{Topic: "orders", Payload: []byte{}},
			{Topic: "orders"},
		}
		tx, err := db.DB.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, ob.Add(t.Context(), tx, want...))
		require.Equal(t, want, outboxtest.Events(t, tx, ob), "a transaction sees its own")
		require.NoError(t, tx.Commit())
		require.Equal(t, want, outboxtest.Events(t, db.DB, ob))

		outboxtest.RequireEvents(t, db.DB, ob, want...)
		want[0].ID = uuid.Nil // any
		outboxtest.RequireEvents(t, db.DB, ob, want...)
	})
}

func TestRequireEventsSaysWhatDiffers(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	ob, err := outbox.New(db.Dialect)
	require.NoError(t, err)
	tx, err := db.DB.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	there := outbox.Event{Topic: "orders", Key: "o-1", Payload: []byte{}, Headers: map[string]string{"a": "b"}}
	require.NoError(t, ob.Add(t.Context(), tx, there))
	require.NoError(t, tx.Commit())

	change := func(edit func(e *outbox.Event)) []outbox.Event {
		e := there
		edit(&e)
		return []outbox.Event{e}
	}
	for name, c := range map[string]struct {
		want []outbox.Event
		says string
	}{
		"an event too many":        {nil, "event 1: unexpected"},
		"an event that is missing": {[]outbox.Event{there, there}, "event 2: missing"},
		"another topic":            {change(func(e *outbox.Event) { e.Topic = "x" }), `topic="x"`},
		"another key":              {change(func(e *outbox.Event) { e.Key = "x" }), `key="x"`},
		"another type":             {change(func(e *outbox.Event) { e.Type = "x" }), `type="x"`},
		"another id":               {change(func(e *outbox.Event) { e.ID = uuid.Max }), uuid.Max.String()},
		"another payload":          {change(func(e *outbox.Event) { e.Payload = []byte("x") }), `payload="x"`},
		"a long payload": {
			change(func(e *outbox.Event) { e.Payload = []byte(strings.Repeat("x", 1000)) }), "(1000 bytes)",
		},
		"a tombstone, not empty": {change(func(e *outbox.Event) { e.Payload = nil }), "payload=tombstone"},
		"headers that are not there": {
			change(func(e *outbox.Event) { e.Headers = map[string]string{"x": "y"} }), "headers=map[x:y]",
		},
		"headers that should not be":   {change(func(e *outbox.Event) { e.Headers = nil }), "headers=map[]"},
		"nothing, for the same events": {[]outbox.Event{there}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			said := failure(t, func(t testing.TB) { outboxtest.RequireEvents(t, db.DB, ob, c.want...) })
			if c.says == "" {
				require.Empty(t, said)
			}
			require.Contains(t, said, c.says)
		})
	}
}

func TestEventsFindsPrefixAndSchema(t *testing.T) {
	db := dbtest.PostgreSQL(t)
	_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: "p_", Schema: "s"})
	require.NoError(t, err)
	ob, err := outbox.New(db.Dialect, outbox.WithTablePrefix("p_"), outbox.WithSchema("s"))
	require.NoError(t, err)
	require.Empty(t, outboxtest.Events(t, db.DB, ob))

	other, err := outbox.New(db.Dialect)
	require.NoError(t, err)
	require.Contains(t, failure(t, func(t testing.TB) { outboxtest.Events(t, db.DB, other) }), "outbox_events")
}
