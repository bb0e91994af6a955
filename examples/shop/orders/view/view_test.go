package view

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a database with streams of orders and their list, a relay and a Kafka.
type bench struct {
	t     *testing.T
	db    *kit.DB
	store *eventstore.Store
	view  *View
}

func newBench(t *testing.T, db *kit.DB) *bench {
	t.Helper()
	kafka := kittest.Kafka(t)
	require.NoError(t, db.Exec(t.Context(), eventstore.Tables...))
	ob, err := outbox.New(db.Dialect)
	require.NoError(t, err)
	view, err := New(t.Context(), db, kafka, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.Brokers})
	require.NoError(t, err)
	r, err := relay.New(relay.Config{
		DB: db.SQL, Dialect: db.Dialect, Sink: sink, LeaseTTL: 30 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for name, part := range map[string]func(context.Context) error{"relay": r.Run, "view": view.Run} {
		running.Go(func() {
			if err := part(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	t.Cleanup(func() { stop(); running.Wait() })
	return &bench{t: t, db: db, store: eventstore.New(db, ob, kafka.Topic(events.Orders)), view: view}
}

// append adds an order's next event in tx.
func (b *bench) append(ctx context.Context, tx *sql.Tx, id string, version int64, kind string) error {
	body := fmt.Appendf(nil, `{"order_id":%q,"customer":"c1","version":%d,"cents":5}`, id, version)
	return b.store.Append(ctx, tx, eventstore.Change{
		Stream: id, Customer: "c1", Expected: version - 1, Events: []eventstore.Event{{Type: kind, Body: body}},
	})
}

func (b *bench) write(ctx context.Context, id string, version int64, kind string) error {
	return b.db.Tx(ctx, func(tx *sql.Tx) error { return b.append(ctx, tx, id, version, kind) })
}

// waitFor waits until the list of confirmed orders has n.
func (b *bench) waitFor(n int) []Row {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := b.view.List(b.t.Context(), Filter{Customer: "c1", Status: "confirmed"}, "", 10_000)
		require.NoError(b.t, err)
		if len(list) >= n {
			return list
		}
		select {
		case <-b.t.Context().Done():
			b.t.Fatal("the list has not come so far")
		case <-tick.C:
		}
	}
}

func (b *bench) waitForLists(want Lists) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		lists, err := b.view.Lists(b.t.Context())
		return err == nil && reflect.DeepEqual(want, lists)
	}, kittest.Patience, 10*time.Millisecond)
}

func id(n int) string { return fmt.Sprintf("order-%06d", n) }

func (b *bench) placeAndConfirm(ctx context.Context, n int) error {
	if err := b.write(ctx, id(n), 1, events.TypeOrderPlaced); err != nil {
		return err
	}
	return b.write(ctx, id(n), 2, events.TypeOrderConfirmed)
}

func TestTheListIsRebuiltUnderLoadAndReadersNoticeNothing(t *testing.T) {
	const before, more = 40, 40
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		b := newBench(t, db)
		// A second process of the service.
		other, err := New(t.Context(), db, b.view.kafka, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		kittest.Run(t, other.Run)
		for n := range before {
			require.NoError(t, b.placeAndConfirm(t.Context(), n))
		}
		b.waitFor(before)

		var beside sync.WaitGroup
		stop, halfWritten := make(chan struct{}), make(chan struct{})
		beside.Go(func() { // a writer
			half := sync.OnceFunc(func() { close(halfWritten) })
			defer half()
			for n := before; n < before+more; n++ {
				if n == before+more/2 {
					half()
				}
				if err := b.placeAndConfirm(t.Context(), n); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
		beside.Go(func() { b.read(stop) })
		number, err := b.view.Rebuild(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, number)
		again, err := other.Rebuild(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, again, "it is being built already")
		b.waitForLists(Lists{Live: 2, Building: []int{}})
		<-halfWritten
		list := b.waitFor(before + more)
		close(stop)
		beside.Wait()
		for n, r := range list {
			require.Equal(t, Row{
				Of: events.Of{OrderID: id(n), Customer: "c1"}, Status: "confirmed", Cents: 5, Version: 2,
			}, r)
		}
		require.Eventually(t, func() bool {
			var old int
			row := db.SQL.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM order_view WHERE view = 1")
			return row.Scan(&old) == nil && old == 0
		}, kittest.Patience, 10*time.Millisecond)
	})
}

// read is a reader: no order that it has seen disappears or goes back.
func (b *bench) read(stop <-chan struct{}) {
	seen := map[string]int64{}
	for {
		select {
		case <-stop:
			return
		default:
		}
		list, err := b.view.List(b.t.Context(), Filter{}, "", 10_000)
		if err != nil {
			b.t.Errorf("read: %v", err)
			return
		}
		found := 0
		for _, r := range list {
			if r.Version < seen[r.OrderID] {
				b.t.Errorf("order %s went from version %d to %d", r.OrderID, seen[r.OrderID], r.Version)
			}
			if _, known := seen[r.OrderID]; known {
				found++
			}
		}
		if found < len(seen) {
			b.t.Errorf("%d orders disappeared", len(seen)-found)
		}
		for _, r := range list {
			seen[r.OrderID] = r.Version
		}
	}
}

// Two transactions write at the same time, and the one with the lower id commits later.
func TestALateCommitIsNotSkippedAndTheNaiveReaderSkipsIt(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{
		"postgresql": kittest.PostgreSQL, "mariadb": kittest.MariaDB, // SQLite has one writer at a time
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := kittest.Open(t, url(t))
			require.NoError(t, db.Exec(t.Context(), eventstore.Tables...))
			b := newBench(t, db)
			numbered := "CREATE TABLE events_with_ids (id " + serial(db) + ", order_id VARCHAR(36))"
			require.NoError(t, db.Exec(t.Context(), numbered))

			last := int64(0)
			naive := func() (found []string) { // SELECT … WHERE id > last
				rows, err := db.SQL.QueryContext(t.Context(),
					db.Bind("SELECT id, order_id FROM events_with_ids WHERE id > ? ORDER BY id"), last)
				require.NoError(t, err)
				defer func() { require.NoError(t, rows.Close()) }()
				for rows.Next() {
					var order string
					require.NoError(t, rows.Scan(&last, &order))
					found = append(found, order)
				}
				require.NoError(t, rows.Err())
				return found
			}
			place := func(tx *sql.Tx, n int) {
				require.NoError(t, b.append(t.Context(), tx, id(n), 1, events.TypeOrderPlaced))
				_, err := tx.ExecContext(t.Context(),
					db.Bind("INSERT INTO events_with_ids (order_id) VALUES (?)"), id(n))
				require.NoError(t, err)
			}
			late, err := db.SQL.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			place(late, 1)
			require.NoError(t, db.Tx(t.Context(), func(tx *sql.Tx) error { place(tx, 2); return nil }))
			require.Equal(t, []string{id(2)}, naive())
			require.NoError(t, late.Commit())
			require.Empty(t, naive(), "order 1 is there, and will never be read")

			for n := 1; n <= 2; n++ {
				require.NoError(t, b.write(t.Context(), id(n), 2, events.TypeOrderConfirmed))
			}
			require.Len(t, b.waitFor(2), 2, "the list has both")
		})
	}
}

func serial(db *kit.DB) string {
	if db.Dialect == outbox.PostgreSQL {
		return "BIGSERIAL PRIMARY KEY"
	}
	return "BIGINT AUTO_INCREMENT PRIMARY KEY"
}

func TestAnEventWhosePredecessorsAreMissingIsNotTakenForDone(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		v, err := New(t.Context(), db, kit.Kafka{}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		err = db.Tx(t.Context(), func(tx *sql.Tx) error {
			return v.apply(t.Context(), tx, 1, inboxMessage(events.TypeOrderConfirmed))
		})
		require.EqualError(t, err, "order o1 is not in the list: its first event is missing")
	})
}

func inboxMessage(kind string) inbox.Message {
	return inbox.Message{ID: "m1", Type: kind, Payload: []byte(`{"order_id":"o1","customer":"c1","version":2}`)}
}
