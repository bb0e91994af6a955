package relay_test

import (
	"bytes"
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
)

// movedAtOnce measures how many bytes a table gains or loses in one transaction. A transaction that moves
// rows holds the lease row, and a renewal waits for it.
type movedAtOnce struct {
	t     *testing.T
	db    *sql.DB
	query string

	mu         sync.Mutex
	seen, most int64
}

func (m *movedAtOnce) look() {
	var n int64
	require.NoError(m.t, m.db.QueryRowContext(context.Background(), m.query).Scan(&n))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.most = max(m.most, n-m.seen, m.seen-n)
	m.seen = n
}

// watched returns a store whose transactions are measured, each when it begins.
func watched(t *testing.T, db dbtest.Database, table string, o relay.Options) (*relay.Store, *movedAtOnce) {
	t.Helper()
	m := &movedAtOnce{t: t, db: db.DB, query: "SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM " + table}
	m.look()
	m.most = 0
	through := faultdb.Open(db.DB, func(statement string) (none faultdb.Fault) {
		if statement == faultdb.Begin {
			m.look()
		}
		return none
	})
	t.Cleanup(func() { require.NoError(t, through.Close()) })
	r, err := relay.New(through, sqldb.Names{Dialect: db.Dialect}, o)
	require.NoError(t, err)
	return r, m
}

const largeRows, largeSize = 24, 1 << 20

// insertLarge writes events with payloads of largeSize, with two keys in turn.
func insertLarge(t *testing.T, db dbtest.Database) []relay.Event {
	t.Helper()
	o, err := outbox.New(sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	for i := range largeRows {
		require.NoError(t, o.InsertEvents(t.Context(), db.DB, []outbox.EventRow{{
			EventID: uuid.New(), Topic: "orders", Key: []string{"k", "other"}[i%2],
			Payload: bytes.Repeat([]byte{byte(i)}, largeSize), Headers: "{}",
		}}))
	}
	return eventsAbove(t, newRelay(t, db), 0)
}

// Archiving, the rejection of large events and their replay move payloads while the lease row is locked. In
// the past, without a bound in bytes, one transaction moved all of them. Meanwhile the lease was lost, and
// the next owner began with the same.
func TestNoTransactionThatHoldsTheLeaseMovesMoreThanSomeMiB(t *testing.T) {
	t.Parallel()
	const bound = 4 << 20
	ctx := context.Background()
	for _, move := range []struct {
		name, table string
		parked      bool // the rows are parked first
		do          func(m *movedRows) error
	}{
		{"delivered rows into the archive", "outbox_archive", false, func(m *movedRows) error {
			var rows []relay.Delivered
			for _, e := range m.events {
				rows = append(rows, relay.Delivered{Event: e, Size: largeSize})
			}
			_, err := m.r.DeleteDelivered(ctx, m.l, rows)
			return err
		}},
		{"rows that a manifest names into the archive", "outbox_archive", false, func(m *movedRows) error {
			rows, err := m.r.FindEvents(ctx, m.events)
			if err == nil {
				_, err = m.r.DeleteDelivered(ctx, m.l, rows)
			}
			return err
		}},
		{"refused rows aside", "outbox_parked", false, func(m *movedRows) error {
			var rows []relay.Parking
			for _, e := range m.events {
				rows = append(rows, relay.Parking{Event: e, Size: largeSize, State: sqldb.ParkedFailed})
			}
			_, err := m.r.Park(ctx, m.l, rows)
			return err
		}},
		{"replayed rows into the archive", "outbox_parked", true, func(m *movedRows) error {
			_, err := m.r.Unpark(ctx, m.l, m.named())
			return err
		}},
		{"replayed rows away", "outbox_parked", true, func(m *movedRows) error {
			_, err := m.r.Unpark(ctx, m.l, m.named())
			return err
		}},
		{"parked rows that a manifest names into the archive", "outbox_parked", true, func(m *movedRows) error {
			found, err := m.sent()
			if err == nil {
				_, err = m.r.Unpark(ctx, m.l, found)
			}
			return err
		}},
		{"parked rows that a manifest names away", "outbox_parked", true, func(m *movedRows) error {
			found, err := m.sent()
			if err == nil {
				_, err = m.r.Unpark(ctx, m.l, found)
			}
			return err
		}},
	} {
		t.Run(move.name, func(t *testing.T) {
			dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
				plain := newRelay(t, db)
				rows := movedRows{l: mustClaim(t, plain), events: insertLarge(t, db)}
				if move.parked {
					parkAll(t, plain, rows.l, rows.events...)
					rows.parked = parkedRows(t, db)
				}
				var moved *movedAtOnce
				rows.r, moved = watched(
					t, db, move.table, relay.Options{Archive: strings.HasSuffix(move.name, "into the archive")},
				)
				require.NoError(t, move.do(&rows))
				moved.look()
				require.LessOrEqual(t, moved.most, int64(bound), "in one transaction")
				want := int64(largeRows * largeSize)
				if move.parked {
					want = 0
				}
				require.Equal(t, want, moved.seen, "all of it is moved")
			})
		})
	}
}

// movedRows are the rows that a test case moves.
type movedRows struct {
	r      *relay.Store
	l      relay.Lease
	events []relay.Event
	parked []parkedState
}

// sent returns the parked rows that a manifest names.
func (m *movedRows) sent() ([]relay.DeliveredParked, error) {
	var sent relay.SentEvents
	for _, e := range m.events {
		sent.Add(e)
	}
	found, _, _, err := m.r.FindSentParked(context.Background(), &sent, 0)
	return found, err
}

func (m *movedRows) named() (all []relay.DeliveredParked) {
	for _, p := range m.parked {
		all = append(all, relay.DeliveredParked{ParkedEvent: name(p), Size: largeSize})
	}
	return all
}
