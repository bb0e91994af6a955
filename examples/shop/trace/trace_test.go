package trace_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/trace"
	"github.com/postroom/postroom/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func exec(t *testing.T, db *kit.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.SQL.ExecContext(t.Context(), db.Bind(statement), args...)
	require.NoError(t, err)
}

// An event is followed from the outbox that it was written in to everybody who has applied it.
func TestAnEventIsFollowedFromWhereItWasWrittenToAllWhoAppliedIt(t *testing.T) {
	urls := map[string]string{"orders_1": kittest.SQLite(t), "stock": kittest.SQLite(t), "gateway": kittest.SQLite(t)}
	orders, stock := kittest.Open(t, urls["orders_1"]), kittest.Open(t, urls["stock"])
	gateway := kittest.Open(t, urls["gateway"])
	_, err := migrations.Apply(t.Context(), orders.SQL, orders.Dialect,
		migrations.Options{Prefix: "mail_", Only: migrations.OutboxOnly})
	require.NoError(t, err)
	exec(t, gateway, "CREATE TABLE view_generations (generation BIGINT, state TEXT)")
	exec(t, gateway,
		"CREATE TABLE order_timeline (generation BIGINT, order_id TEXT, message_id TEXT, applied_at BIGINT)")

	at := func(ms int) time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, ms*int(time.Millisecond), time.UTC)
	}
	text := func(ms int) string { return at(ms).Format("2006-01-02T15:04:05.000000Z") }
	placed, later, mail, foreign := uuid.NewString(), uuid.NewString(), uuid.NewString(), uuid.NewString()
	exec(t, orders, `INSERT INTO outbox_archive
		(id, event_id, topic, event_key, event_type, headers, created_at, delivered_at)
		VALUES (1, ?, 'x-orders', 'order-1', 'order.placed', '{"causation_id":"command"}', ?, ?),
		(2, ?, 'x-orders', 'order-2', 'order.placed', '{}', ?, ?)`,
		placed, text(0), text(10), foreign, text(0), text(1))
	exec(t, orders, `INSERT INTO outbox_scheduled (event_id, topic, event_key, event_type, created_at, deliver_at)
		VALUES (?, 'x-order-timeouts', 'order-1', 'order.step_timed_out', ?, ?)`, later, text(1), text(5000))
	exec(t, orders, `INSERT INTO mail_outbox_events (event_id, topic, event_key, event_type, created_at)
		VALUES (?, 'x-mails', 'order-1', 'mail.requested', ?)`, mail, text(2))
	exec(t, stock, "INSERT INTO inbox_events (consumer, message_id, processed_at) VALUES ('b', ?, ?), ('a', ?, ?)",
		placed, text(30), placed, text(20))
	exec(t, gateway, "INSERT INTO view_generations VALUES (1, 'retired'), (2, 'live')")
	exec(t, gateway, `INSERT INTO order_timeline
		VALUES (1, 'order-1', ?, ?), (2, 'order-1', ?, ?), (2, 'order-1', 'gone', 1)`,
		placed, at(1).UnixMilli(), placed, at(15).UnixMilli())

	tracer, err := trace.Open(t.Context(), urls, "x-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tracer.Close()) })
	events, err := tracer.Order(t.Context(), "order-1")
	require.NoError(t, err)
	require.Equal(t, []trace.Event{
		{ID: placed, Type: "order.placed", Topic: "orders", Cause: "command", Service: "orders",
			Written: at(0), Delivered: at(10), Applied: []trace.Applied{{"gateway", at(15)}, {"stock", at(20)}}},
		{ID: later, Type: "order.step_timed_out", Topic: "order-timeouts", Service: "orders",
			Written: at(1), Due: at(5000)},
		{ID: mail, Type: "mail.requested", Topic: "mails", Service: "orders", Written: at(2)},
	}, events)
	events, err = tracer.Order(t.Context(), "nobody")
	require.NoError(t, err)
	require.Empty(t, events)
}
