// Package storetest gives tests of the stores what an outbox and its relay leave in the tables: events, a lease,
// parked rows, processes. It needs a migrated database. Only tests import it.
package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
)

// Relay returns a store without an archive.
func Relay(t testing.TB, d dbtest.Database) *relay.Store {
	t.Helper()
	r, err := relay.New(d.DB, db.Names{Dialect: d.Dialect}, relay.Options{})
	require.NoError(t, err)
	return r
}

// Keyed is a topic and a key; an empty key is none.
type Keyed [2]string

// Insert writes an event for each, and returns them in order.
func Insert(t testing.TB, d dbtest.Database, events ...Keyed) []relay.Event {
	t.Helper()
	ob, err := outbox.New(db.Names{Dialect: d.Dialect})
	require.NoError(t, err)
	rows := make([]outbox.EventRow, len(events))
	for i, k := range events {
		rows[i] = outbox.EventRow{
			EventID: uuid.New(), Topic: k[0], Key: k[1], Type: "order.placed",
			Payload: fmt.Appendf(nil, "payload %d", i), Headers: `{"n": "1"}`,
		}
	}
	require.NoError(t, ob.InsertEvents(t.Context(), d.DB, rows))
	all := EventsAbove(t, Relay(t, d), 0)
	return all[len(all)-len(events):]
}

// EventsAbove reads the events whose ids are above head.
func EventsAbove(t testing.TB, r *relay.Store, head int64) (events []relay.Event) {
	t.Helper()
	_, err := r.Read(t.Context(), relay.ReadQuery{Head: head, Limit: 1 << 20}, func(row *relay.Row) bool {
		events = append(events, relay.Event{ID: row.ID, EventID: row.EventID})
		return true
	})
	require.NoError(t, err)
	return events
}

// Delivered says that Kafka has e, at a place that follows from its id.
func Delivered(e relay.Event) relay.Delivered {
	return relay.Delivered{Event: e, Partition: int32(e.ID % 8), Offset: 1<<40 + e.ID, Placed: true}
}

// Claim tries to claim the lease for a new owner.
func Claim(t testing.TB, r *relay.Store, ttl time.Duration) (relay.Lease, bool) {
	t.Helper()
	l, claimed, err := r.Claim(t.Context(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: ttl})
	require.NoError(t, err)
	return l, claimed
}

// MustClaim claims the lease for an hour.
func MustClaim(t testing.TB, r *relay.Store) relay.Lease {
	t.Helper()
	l, claimed := Claim(t, r, time.Hour)
	require.True(t, claimed)
	return l
}

// Expire makes the lease end in the past, which no claim and no renewal would.
func Expire(t testing.TB, d dbtest.Database) {
	t.Helper()
	dbtest.Exec(t, d.DB, "UPDATE outbox_leases SET expires_at = "+db.For(d.Dialect,
		"clock_timestamp() - interval '1 millisecond'",
		"UTC_TIMESTAMP(6) - INTERVAL 1000 MICROSECOND",
		"strftime('%Y-%m-%dT%H:%M:%f', 'now', '-0.002 seconds') || '000Z'"))
}

// Park parks events of the same key: the first as failed, the others blocked.
func Park(t testing.TB, r *relay.Store, l relay.Lease, events ...relay.Event) {
	t.Helper()
	var rows []relay.Parking
	for i, e := range events {
		p := relay.Parking{Event: e, State: db.ParkedBlocked}
		if i == 0 {
			p.State, p.Error = db.ParkedFailed, "too large"
		}
		rows = append(rows, p)
	}
	n, err := r.Park(t.Context(), l, rows)
	require.NoError(t, err)
	require.EqualValues(t, len(events), n)
}

// Heartbeat writes the row of a process, and returns the other live ones.
func Heartbeat(t testing.TB, r *relay.Store, m relay.Member) (ids []uuid.UUID) {
	t.Helper()
	live, err := r.Heartbeat(t.Context(), m, time.Minute, false)
	require.NoError(t, err)
	for _, other := range live {
		ids = append(ids, other.ID)
	}
	return ids
}

// SetSeen moves when a process was last seen to now and some seconds, such as "-90".
func SetSeen(t testing.TB, d dbtest.Database, id uuid.UUID, seconds string) {
	t.Helper()
	dbtest.Exec(t, d.DB, "UPDATE outbox_relays SET seen_at = "+db.For(d.Dialect,
		"clock_timestamp() + interval '"+seconds+" seconds'",
		"UTC_TIMESTAMP(6) + INTERVAL "+seconds+" SECOND",
		"strftime('%Y-%m-%dT%H:%M:%f', 'now', '"+seconds+" seconds') || '000Z'",
	)+" WHERE relay_id = '"+id.String()+"'")
}
