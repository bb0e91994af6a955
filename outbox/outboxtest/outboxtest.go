// Package outboxtest helps to test code that writes to the outbox. It reads the
// undelivered events.
//
// It needs the outbox tables (migrations.Apply) in the test's database. No relay may
// deliver the events during the test.
//
//	placeOrder(ctx, db, order)
//	outboxtest.RequireEvents(t, db, ob, outbox.Event{
//		Topic: "orders", Key: order.ID, Type: "order.placed", Payload: []byte(`{"total":42}`),
//	})
package outboxtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

// Queryer is a *sql.DB, which sees what was committed, or a *sql.Tx, which sees its
// own events as well.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Events returns the undelivered events of ob's table in the order in which they were
// written, with their IDs. It ends the test if they cannot be read.
func Events(t testing.TB, db Queryer, ob *outbox.Outbox) []outbox.Event {
	t.Helper()
	events, err := read(t.Context(), db, ob, (*store.Reader).Rows)
	if err != nil {
		t.Fatalf("outboxtest: read the outbox: %v", err)
	}
	return events
}

// RequireEvents ends the test unless the undelivered events of ob's table are the wanted
// ones, in that order. A wanted event with a zero ID matches any ID. Nil headers equal
// empty headers. A nil payload, which is a tombstone, does not equal an empty one.
func RequireEvents(t testing.TB, db Queryer, ob *outbox.Outbox, want ...outbox.Event) {
	t.Helper()
	if diff := compare(want, Events(t, db, ob)); diff != "" {
		t.Fatalf("outboxtest: the outbox holds other events than wanted:\n%s", diff)
	}
}

// Scheduled returns the scheduled events of ob's table that the relay has not moved yet,
// in the order of their times, with their IDs, and DeliverAt in UTC. It ends the test if
// they cannot be read. Events and RequireEvents do not see them.
func Scheduled(t testing.TB, db Queryer, ob *outbox.Outbox) []outbox.Event {
	t.Helper()
	events, err := read(t.Context(), db, ob, (*store.Reader).Scheduled)
	if err != nil {
		t.Fatalf("outboxtest: read the scheduled events: %v", err)
	}
	return events
}

type readRows func(*store.Reader, context.Context, db.Querier) ([]store.EventRow, error)

func read(ctx context.Context, q Queryer, ob *outbox.Outbox, which readRows) ([]outbox.Event, error) {
	s := ob.Settings()
	reader, err := store.NewReader(db.Names{Dialect: s.Dialect, Prefix: s.TablePrefix, Schema: s.Schema})
	if err != nil {
		return nil, err
	}
	rows, err := which(reader, ctx, q)
	if err != nil {
		return nil, err
	}
	events := make([]outbox.Event, len(rows))
	for i, row := range rows {
		headers, err := ownHeaders(row.Headers)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", row.EventID, err)
		}
		events[i] = outbox.Event{
			ID: row.EventID, Topic: row.Topic, Key: row.Key, Type: row.Type, Payload: row.Payload, Headers: headers,
			DeliverAt: row.DeliverAt,
		}
	}
	return events, nil
}

// ownHeaders reads the column as the relay does, and leaves out what the relay adds.
func ownHeaders(column string) (map[string]string, error) {
	wire, err := (&relay.Record{Headers: []byte(column)}).AppendWireHeaders(nil)
	if err != nil {
		return nil, err
	}
	var own map[string]string
	for _, h := range wire {
		if strings.HasPrefix(h.Name, "_watermill_") || strings.HasPrefix(h.Name, "postroom_") {
			continue
		}
		if own == nil {
			own = map[string]string{}
		}
		own[h.Name] = h.Value
	}
	return own, nil
}

// compare returns a line per difference, or "".
func compare(want, got []outbox.Event) string {
	var b strings.Builder
	if len(want) != len(got) {
		fmt.Fprintf(&b, "want %d events, got %d\n", len(want), len(got))
	}
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			fmt.Fprintf(&b, "event %d: missing: %s\n", i+1, text(want[i]))
		case i >= len(want):
			fmt.Fprintf(&b, "event %d: unexpected: %s\n", i+1, text(got[i]))
		case !same(want[i], got[i]):
			fmt.Fprintf(&b, "event %d:\n  want %s\n  got  %s\n", i+1, text(want[i]), text(got[i]))
		}
	}
	return b.String()
}

func same(want, got outbox.Event) bool {
	return (want.ID == uuid.Nil || want.ID == got.ID) &&
		want.Topic == got.Topic && want.Key == got.Key && want.Type == got.Type &&
		(want.Payload == nil) == (got.Payload == nil) && bytes.Equal(want.Payload, got.Payload) &&
		maps.Equal(want.Headers, got.Headers)
}

// text shows an event in a test's output, with the start of its payload.
func text(e outbox.Event) string {
	payload := "tombstone"
	if e.Payload != nil {
		const most = 200
		payload = fmt.Sprintf("%q", e.Payload[:min(len(e.Payload), most)])
		if len(e.Payload) > most {
			payload += fmt.Sprintf("… (%d bytes)", len(e.Payload))
		}
	}
	id := "any id"
	if e.ID != uuid.Nil {
		id = e.ID.String()
	}
	return fmt.Sprintf(
		"{%s topic=%q key=%q type=%q payload=%s headers=%v}", id, e.Topic, e.Key, e.Type, payload, e.Headers,
	)
}
