package view_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

func noCache(context.Context, cache.Versions) error { return nil }

func start(
	t *testing.T, db *kit.DB, kafka kit.Kafka, raise func(context.Context, cache.Versions) error,
) *view.Model {
	t.Helper()
	m, err := view.New(t.Context(), db, kafka, raise, kittest.Quiet())
	require.NoError(t, err)
	kittest.Run(t, m.Run)
	return m
}

// place sends the first events of an order, those of stock first.
func place(t *testing.T, kafka kit.Kafka, id, customer string) {
	t.Helper()
	of := events.Of{OrderID: id, Customer: customer}
	kittest.Send(t, kafka, events.Stock, id, events.TypeStockReserved, events.StockReserved{Of: of, Cents: 500})
	kittest.Send(t, kafka, events.Orders, id, events.TypeOrderPlaced, events.OrderPlaced{
		Of: of, Version: 1, Flow: events.Choreographed, Items: []events.Item{{SKU: "pen", Quantity: 1}}, Cents: 500,
	})
}

func change(t *testing.T, kafka kit.Kafka, id, customer string, version int64) {
	t.Helper()
	kittest.Send(t, kafka, events.Orders, id, events.TypeOrderChanged, events.OrderChanged{
		Of: events.Of{OrderID: id, Customer: customer}, Version: version, Note: fmt.Sprint("note ", version),
	})
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patience, 5*time.Millisecond, what)
}

// waitForVersions waits until an order was made of these.
func waitForVersions(t *testing.T, m *view.Model, id string, want cache.Versions) view.Order {
	t.Helper()
	var o view.Order
	waitFor(t, fmt.Sprint(id, " at ", want), func() bool {
		var got cache.Versions
		var err error
		o, got, err = m.Order(t.Context(), id)
		return err == nil && fmt.Sprint(got) == fmt.Sprint(want)
	})
	return o
}

// made is what an order of generation 1 is made of.
func made(id string, revision int64, customer string, version int64) cache.Versions {
	return madeIn(1, id, revision, customer, version)
}

func madeIn(generation int64, id string, revision int64, customer string, version int64) cache.Versions {
	return cache.Versions{
		"view": generation, fmt.Sprintf("order:%d:%s", generation, id): revision, "customer:" + customer: version,
	}
}

func TestTheModelHasWhatAllServicesSay(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		var mu sync.Mutex
		floors := cache.Versions{}
		m := start(t, db, kafka, func(_ context.Context, raised cache.Versions) error {
			mu.Lock()
			defer mu.Unlock()
			for entity, version := range raised {
				floors[entity] = max(floors[entity], version)
			}
			return nil
		})
		kittest.Send(t, kafka, events.Customers, "ada", events.CustomerChanged,
			events.Customer{ID: "ada", Name: "Ada L.", Email: "ada@example.com", Version: 2})
		kittest.Send(t, kafka, events.Customers, "ada", events.CustomerCreated, // late
			events.Customer{ID: "ada", Name: "Ada", Email: "ada@example.com", Version: 1})
		for _, id := range []string{"order-1", "order-2", "order-3"} {
			place(t, kafka, id, "ada")
		}
		change(t, kafka, "order-2", "ada", 2)
		change(t, kafka, "order-2", "ada", 2) // the relay sent it twice

		o := waitForVersions(t, m, "order-2", made("order-2", 3, "ada", 2))
		require.Equal(t, view.Order{
			Of: events.Of{OrderID: "order-2", Customer: "ada"}, Version: 2, Flow: events.Choreographed,
			Items: []events.Item{{SKU: "pen", Quantity: 1}}, Cents: 500, Note: "note 2", Status: "placed",
			Stock: &view.Stock{State: "reserved"}, Customer: &view.Customer{Name: "Ada L.", Version: 2},
		}, o)
		waitForVersions(t, m, "order-1", made("order-1", 2, "ada", 2))
		waitForVersions(t, m, "order-3", made("order-3", 2, "ada", 2))

		first, versions, err := m.Page(t.Context(), "ada", "", 2)
		require.NoError(t, err)
		require.Equal(t, cache.Versions{"view": 1, "orders-of:1:ada": 7}, versions)
		require.Equal(t, "order-2", first.Next)
		require.Len(t, first.Orders, 2)
		last, _, err := m.Page(t.Context(), "ada", first.Next, 2)
		require.NoError(t, err)
		require.Len(t, last.Orders, 1)
		require.Equal(t, "order-3", last.Orders[0].OrderID)
		require.Empty(t, last.Next)

		mu.Lock()
		require.Equal(t, cache.Versions{
			"order:1:order-1": 2, "order:1:order-2": 3, "order:1:order-3": 2, "orders-of:1:ada": 7, "customer:ada": 2,
		}, floors, "each version is raised in the cache")
		mu.Unlock()

		kittest.Send(t, kafka, events.Customers, "ada", events.CustomerErased,
			events.Customer{ID: "ada", Version: 3, Deleted: true})
		o = waitForVersions(t, m, "order-1", made("order-1", 2, "ada", 3))
		require.Equal(t, &view.Customer{Erased: true}, o.Customer)

		states, err := m.States(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"placed": 3}, states)
		_, _, err = m.Order(t.Context(), "nobody's")
		require.ErrorIs(t, err, view.ErrNone)
	})
}

func TestAChangeThatTheCacheDoesNotKnowOfIsNotVisible(t *testing.T) {
	kafka := kittest.Kafka(t)
	var away atomic.Bool
	refused := make(chan struct{}, 100)
	m := start(t, kittest.Open(t, kittest.SQLite(t)), kafka, func(context.Context, cache.Versions) error {
		if away.Load() {
			select {
			case refused <- struct{}{}:
			default:
			}
			return errors.New("redis is away")
		}
		return nil
	})
	place(t, kafka, "order-1", "ada")
	waitForVersions(t, m, "order-1", made("order-1", 2, "ada", 0))
	away.Store(true)
	change(t, kafka, "order-1", "ada", 2)
	for range 6 { // more often than a handler may fail
		<-refused
	}
	o, _, err := m.Order(t.Context(), "order-1")
	require.NoError(t, err)
	require.EqualValues(t, 1, o.Version)
	away.Store(false)
	waitForVersions(t, m, "order-1", made("order-1", 3, "ada", 0))
}

// TestARebuildUnderLoadEndsEqual reads all the time, and writes until the new generation is live.
func TestARebuildUnderLoadEndsEqual(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		m := start(t, db, kafka, noCache)
		other := start(t, db, kafka, noCache) // a second gateway
		const orders = 8
		id := func(n int) string { return fmt.Sprint("order-", n) }
		for n := range orders {
			place(t, kafka, id(n), "ada")
		}
		for n := range orders {
			waitForVersions(t, m, id(n), made(id(n), 2, "ada", 0))
		}

		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		var fault atomic.Value
		for n := range orders {
			readers.Go(func() {
				var seen int64
				for ctx.Err() == nil {
					o, versions, err := other.Order(t.Context(), id(n))
					now := max(versions["order:1:"+id(n)], versions["order:2:"+id(n)])
					if err != nil || now < seen || o.Version == 0 {
						fault.Store(fmt.Sprintf("order %d went from revision %d to %d: %v", n, seen, now, err))
						return
					}
					seen = now
				}
			})
		}
		generation, err := m.Rebuild(t.Context())
		require.NoError(t, err)
		version := int64(1)
		waitFor(t, "the switch", func() bool {
			version++
			for n := range orders {
				change(t, kafka, id(n), "ada", version)
			}
			now, err := m.Live(t.Context())
			return err == nil && now == generation
		})
		for n := range orders {
			o := waitForVersions(t, m, id(n), madeIn(generation, id(n), version+1, "ada", 0))
			require.Equal(t, version, o.Version)
			require.Equal(t, fmt.Sprint("note ", version), o.Note)
			require.Equal(t, "reserved", o.Stock.State)
		}
		cancel()
		readers.Wait()
		require.Nil(t, fault.Load())
		_, versions, err := m.Page(t.Context(), "ada", "", 100)
		require.NoError(t, err)
		require.Equal(t, cache.Versions{"view": generation, "orders-of:2:ada": orders * (version + 1)}, versions)

		waitFor(t, "the end of the old generation", func() bool {
			all, err := m.Generations(t.Context())
			require.NoError(t, err)
			return fmt.Sprint(all) == "[{1 deleted} {2 live}]"
		})
		for _, table := range []string{"order_view", "customer_orders", "order_timeline"} {
			var left int
			require.NoError(t, db.SQL.QueryRow("SELECT COUNT(*) FROM "+table+" WHERE generation = 1").Scan(&left))
			require.Zero(t, left, table)
		}
		waitForVersions(t, other, id(0), madeIn(generation, id(0), version+1, "ada", 0))
	})
}
