package invariants_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/customers"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/notifications"
	"github.com/postroom/postroom/examples/shop/orders"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

func TestMain(m *testing.M) {
	// A package that Watermill's Kafka imports starts this goroutine, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// shop is the databases and the caches of a shop whose services do not run.
type shop struct {
	t         testing.TB
	urls      map[string]string
	databases map[string]*kit.DB
	kafka     kit.Kafka
	redis     *miniredis.Miniredis
	shards    []shards.Shard
	options   invariants.Options
}

var databases = []string{"customers", "gateway", "notifications", "orders_1", "orders_2", "payments", "stock"}

// newShop makes the services' databases as they are after three orders: one of ada's is confirmed and one is cancelled,
// bob's is stuck, and eve is erased.
func newShop(t testing.TB, newURL func(testing.TB) string) *shop {
	t.Helper()
	s := &shop{
		t: t, urls: map[string]string{}, databases: map[string]*kit.DB{}, kafka: kittest.Kafka(t),
		redis: miniredis.RunT(t),
	}
	for _, name := range databases {
		s.urls[name] = newURL(t)
		s.databases[name] = kittest.Open(t, s.urls[name])
	}
	s.makeTables()
	s.options = invariants.Options{
		Kafka: kit.Kafka{Prefix: s.kafka.Prefix}, Redis: s.redis.Addr(),
		Accepted: func() []string { return []string{"o1", "o2", "o3"} },
	}
	s.exec("customers", `INSERT INTO customers (id, name, email, version, erased_at) VALUES
		('ada', 'Ada', 'ada@b', 2, NULL), ('bob', 'Bob', 'bob@b', 1, NULL), ('eve', '', '', 3, '2026-11-30 10:00:00')`)
	for _, shard := range s.shards {
		s.exec(shard.Name,
			"INSERT INTO customers (id, name, email) VALUES ('ada', 'Ada', 'ada@b'), ('bob', 'Bob', 'bob@b')",
			`INSERT INTO inbox_replica_rows (replica, row_key, version, deleted_at) VALUES
				('customers', 'ada', 2, NULL), ('customers', 'bob', 1, NULL),
				('customers', 'eve', 3, '2026-11-30 10:00:00.000000')`)
	}
	s.exec("gateway", `INSERT INTO customer_view (generation, customer, version, name, email, erased) VALUES
		(1, 'ada', 2, 'Ada', 'ada@b', 0), (1, 'bob', 1, 'Bob', 'bob@b', 0), (1, 'eve', 3, '', '', 1)`,
		"INSERT INTO customer_orders (generation, customer, revision) VALUES (1, 'ada', 4), (1, 'bob', 2)")
	s.exec("payments", `INSERT INTO accounts (customer, balance_cents, deposited_cents, closed) VALUES
			('ada', 600, 1000, false), ('bob', 300, 500, true)`,
		`INSERT INTO payments (order_id, customer, flow, cents, state, reason) VALUES
			('o1', 'ada', '', 400, 'taken', ''), ('o2', 'ada', '', 0, 'refused', ''),
			('o3', 'bob', '', 200, 'taken', '')`)
	s.exec("stock", "INSERT INTO items (sku, available, reserved, delivered) VALUES ('pen', 7, 3, 10)",
		`INSERT INTO reservations (order_id, customer, flow, cents, state, short) VALUES
			('o1', 'ada', '', 400, 'reserved', ''), ('o2', 'ada', '', 300, 'released', ''),
			('o3', 'bob', '', 200, 'reserved', '')`,
		`INSERT INTO reservation_items (order_id, sku, quantity) VALUES
			('o1', 'pen', 2), ('o2', 'pen', 1), ('o3', 'pen', 1)`)
	s.exec("notifications", `INSERT INTO emails (message_id, order_id, kind, made_at) VALUES
		('m1', 'o1', 'confirmed', 0), ('m2', 'o2', 'cancelled', 0), ('m3', 'o3', 'confirmed', 0)`)
	s.order(placed("o1", "ada", events.Orchestrated, 2, 400), "done", order.Confirm)
	s.order(placed("o2", "ada", events.Choreographed, 1, 300), "",
		func(o order.Order) ([]eventstore.Event, error) { return order.Cancel(o, events.ReasonPaymentRefused) })
	s.order(placed("o3", "bob", events.Orchestrated, 1, 200), "stuck", order.Confirm, order.RequestCancel,
		func(o order.Order) ([]eventstore.Event, error) { return order.GetStuck(o, "the account is closed") })
	for key, versions := range map[string][]string{
		"response:/orders/o1": {"view", "1", "order:1:o1", "3", "customer:ada", "2"},
		"customer:ada":        {"view", "1", "customer:ada", "2"},
		`page:"ada":"":20`:    {"view", "1", "orders-of:1:ada", "4"},
	} {
		s.redis.HSet(s.kafka.Prefix+"shop:value:"+key, append([]string{"body", "{}"}, versions...)...)
	}
	return s
}

func (s *shop) makeTables() {
	s.t.Helper()
	ctx, quiet := s.t.Context(), kittest.Quiet()
	mails := kit.Mails{InProcess: kit.NewMailChannel()}
	s.t.Cleanup(func() { require.NoError(s.t, mails.InProcess.Close()) })
	s.openShards()
	client := cache.Connect(s.redis.Addr())
	s.t.Cleanup(func() { require.NoError(s.t, client.Close()) })
	for _, open := range []func() error{
		func() error { _, err := customers.New(ctx, s.databases["customers"], s.kafka); return err },
		func() error { _, err := payments.New(ctx, s.databases["payments"], s.kafka, quiet); return err },
		func() error { _, err := stock.New(ctx, s.databases["stock"], s.kafka, quiet); return err },
		func() error {
			_, err := notifications.New(ctx, s.databases["notifications"], s.kafka, mails, quiet)
			return err
		},
		func() error {
			_, err := orders.New(ctx, orders.Config{Shards: s.shards, Kafka: s.kafka, Logger: quiet})
			return err
		},
		func() error {
			_, err := gateway.New(ctx, gateway.Config{
				DB: s.databases["gateway"], Kafka: s.kafka, Redis: client, Logger: quiet,
			})
			return err
		},
	} {
		require.NoError(s.t, open())
	}
}

func (s *shop) exec(database string, statements ...string) {
	s.t.Helper()
	require.NoError(s.t, s.databases[database].Exec(s.t.Context(), statements...))
}

// copies returns a function that makes a shop like this one, of SQLite, for a test that changes it. It closes this one.
func (s *shop) copies() func(t *testing.T) *shop {
	s.t.Helper()
	for _, db := range s.databases {
		require.NoError(s.t, db.Close()) // it writes its WAL into the file
	}
	return func(t *testing.T) *shop {
		t.Helper()
		c := &shop{
			t: t, urls: map[string]string{}, databases: map[string]*kit.DB{}, kafka: s.kafka, redis: s.redis,
			options: s.options,
		}
		for name, url := range s.urls {
			file, err := os.ReadFile(strings.TrimPrefix(url, "sqlite:"))
			require.NoError(t, err)
			c.urls[name] = kittest.SQLite(t)
			require.NoError(t, os.WriteFile(strings.TrimPrefix(c.urls[name], "sqlite:"), file, 0o600))
			c.databases[name] = kittest.Open(t, c.urls[name])
		}
		c.openShards()
		return c
	}
}

// openShards names the shards.
func (s *shop) openShards() {
	for _, name := range []string{"orders_1", "orders_2"} {
		s.shards = append(s.shards, shards.Shard{Name: name, DB: s.databases[name]})
	}
}

// home is the database of a customer's orders; away is another shard.
func (s *shop) home(customer string) string { return shards.Owner(s.shards, customer).Name }

func (s *shop) away(customer string) string {
	i := slices.IndexFunc(s.shards, func(one shards.Shard) bool { return one.Name != s.home(customer) })
	return s.shards[i].Name
}

func placed(id, customer string, flow events.Flow, pens, cents int64) events.OrderPlaced {
	return events.OrderPlaced{
		Of: events.Of{OrderID: id, Customer: customer}, Flow: flow, Cents: cents,
		Items: []events.Item{{SKU: "pen", Quantity: pens}},
	}
}

// order writes the stream of an order, its saga, and what the read models show of it.
func (s *shop) order(p events.OrderPlaced, step string, decisions ...order.Decision) {
	s.t.Helper()
	ctx, home, gateway := s.t.Context(), s.databases[s.home(p.Customer)], s.databases["gateway"]
	ob, err := outbox.New(home.Dialect)
	require.NoError(s.t, err)
	repository := order.Repository{Store: eventstore.New(home, ob, "orders")}
	var o order.Order
	decisions = append([]order.Decision{
		func(o order.Order) ([]eventstore.Event, error) { return order.Place(o, p) },
	}, decisions...)
	require.NoError(s.t, home.Tx(ctx, func(tx *sql.Tx) (err error) {
		if err := shards.Enter(ctx, home, tx, p.Customer, shards.Request); err != nil {
			return err
		}
		for _, decide := range decisions {
			if o, err = repository.Change(ctx, tx, p.OrderID, 0, inbox.Message{}, decide); err != nil {
				return err
			}
		}
		return nil
	}))
	s.exec(s.home(p.Customer), "DELETE FROM outbox_events") // delivered
	if step != "" {
		s.insert(home, "order_sagas", []string{"order_id", "step", "attempt", "timer", "reason"},
			o.OrderID, step, 1, "", "")
	}
	s.insert(s.databases["orders_1"], "order_view",
		[]string{"view", "order_id", "customer", "status", "reason", "cents", "version"},
		1, o.OrderID, o.Customer, string(o.Status), o.Reason, o.Cents, o.Version)
	body, err := json.Marshal(view.Order{
		Of: o.Of, Version: o.Version, Flow: o.Flow, Items: o.Items, Cents: o.Cents,
		Status: string(o.Status), Reason: o.Reason,
	})
	require.NoError(s.t, err)
	s.insert(gateway, "order_view",
		[]string{"generation", "order_id", "customer", "version", "status", "revision", "body", "updated_at"},
		1, o.OrderID, o.Customer, o.Version, string(o.Status), 3, string(body), 0)
}

func (s *shop) insert(db *kit.DB, table string, columns []string, values ...any) {
	s.t.Helper()
	require.NoError(s.t, db.Tx(s.t.Context(), func(tx *sql.Tx) error {
		fresh, err := db.InsertNew(s.t.Context(), tx, table, columns, values...)
		require.True(s.t, fresh || err != nil, table)
		return err
	}))
}

func (s *shop) auditor() *invariants.Auditor {
	s.t.Helper()
	a, err := invariants.Open(s.t.Context(), s.urls, s.options)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, a.Close()) })
	return a
}

// broken are the figures of the rows that do not hold, by name.
func (s *shop) broken(ctx context.Context) map[string]string {
	s.t.Helper()
	rows, err := s.auditor().Check(ctx)
	require.NoError(s.t, err)
	var names []string
	broken := map[string]string{}
	for _, row := range rows {
		require.NotEmpty(s.t, row.Reason)
		require.NotEmpty(s.t, row.Figures)
		if names = append(names, row.Name); !row.Holds {
			broken[row.Name] = row.Figures
		}
	}
	require.Equal(s.t, []string{
		"rest", "parked", "accepted", "orders", "money", "stock", "paid and reserved", "e-mails", "replica",
		"read models", "caches", "shards",
	}, names)
	return broken
}
