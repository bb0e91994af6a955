package orders_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/shards"
)

func TestMain(m *testing.M) {
	// A metrics library of watermill-kafka starts it for ever.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

var quiet = slog.New(slog.DiscardHandler)

var four = []func(testing.TB) string{kittest.SQLite, kittest.SQLite, kittest.SQLite, kittest.SQLite}

func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, detail string) kit.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var problem kit.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
	require.Contains(t, problem.Detail, detail)
	return problem
}

func TestAnOrderIsAcceptedAndThenConfirmedAndCancelled(t *testing.T) {
	b := newBench(t, four...).start(4)
	for _, flow := range []events.Flow{events.Orchestrated, events.Choreographed} {
		customer := uuid.NewString()
		b.knowCustomer(customer)
		path, o := b.place(customer, "key-1", flow)
		require.Equal(t, flow, o.Flow)
		require.EqualValues(t, 2*orders.CentsPerPiece, o.Cents)

		again := b.request("POST", "/orders", "key-1", orderBody(customer, flow))
		require.Equal(t, http.StatusAccepted, again.Code)
		require.Equal(t, path, again.Header().Get("Location"), "the same key is the same order")
		other := b.request("POST", "/orders", "key-1", strings.Replace(orderBody(customer, flow), "tea", "ink", 1))
		requireProblem(t, other, http.StatusUnprocessableEntity, "another request")

		stale := b.request("PATCH", path, "", `{"note":"ring","expected_version":1}`)
		conflict := requireProblem(t, stale, http.StatusConflict, "version 2")
		require.Equal(t, "/problems/version-conflict", conflict.Type)
		require.EqualValues(t, 2, conflict.CurrentVersion)
		changed := b.request("PATCH", path, "", `{"note":"ring","expected_version":2}`)
		require.Equal(t, http.StatusOK, changed.Code, changed.Body.String())
		require.Equal(t, `"3"`, changed.Header().Get("ETag"))

		require.Equal(t, http.StatusOK, b.request("POST", path+"/cancel", "", `{"expected_version":3}`).Code)
		require.Equal(t, events.ReasonCustomer, b.waitForStatus(path, order.Cancelled).Reason)
		// Each command that the order's status does not allow has a problem type of its own.
		for command, request := range map[string]*httptest.ResponseRecorder{
			"change": b.request("PATCH", path, "", `{"note":"ring"}`),
			"cancel": b.request("POST", path+"/cancel", "", `{}`),
			"repair": b.request("POST", path+"/repair", "", `{}`),
		} {
			problem := requireProblem(t, request, http.StatusConflict, "the order is cancelled")
			require.Equal(t, "/problems/cannot-"+command, problem.Type)
			require.Zero(t, problem.CurrentVersion, "another version does not help")
		}

		b.until(func(w *httptest.ResponseRecorder) bool {
			return strings.Contains(w.Body.String(), o.OrderID)
		}, "GET", "/orders?status=cancelled&customer="+customer)
		require.Equal(t, []string{"confirmed", "cancelled"}, b.mailsOf(o.OrderID))
	}
}

func TestABadRequestGetsAProblem(t *testing.T) {
	b := newBench(t, four...).start(4)
	customer, unknown := uuid.NewString(), uuid.NewString()
	b.knowCustomer(customer)
	const zeroByte = `{"sku":"a\u0000","quantity":1}`
	tooLarge := `{"customer":"` + strings.Repeat("x", kit.MaxBody) + `"}`
	good := orderBody(customer, events.Orchestrated)
	for name, tc := range map[string]struct {
		method, path, key, body string
		status                  int
		detail                  string
	}{
		"no key":               {"POST", "/orders", "", good, 400, "Idempotency-Key"},
		"bad JSON":             {"POST", "/orders", "k", `{`, 400, "JSON"},
		"unknown field":        {"POST", "/orders", "k", `{"colour":"red"}`, 400, "colour"},
		"too large":            {"POST", "/orders", "k", tooLarge, 413, "bytes"},
		"unknown flow":         {"POST", "/orders", "k", orderBody(customer, "free"), 400, "flow"},
		"no items":             {"POST", "/orders", "k", orderOf(customer, ""), 400, "items"},
		"no quantity":          {"POST", "/orders", "k", orderOf(customer, `{"sku":"tea"}`), 400, "quantity"},
		"no such sku":          {"POST", "/orders", "k", orderOf(customer, zeroByte), 400, "sku"},
		"no id of a customer":  {"POST", "/orders", "k", orderBody("nobody", events.Orchestrated), 400, "customer"},
		"unknown customer":     {"POST", "/orders", "k", orderBody(unknown, events.Orchestrated), 422, unknown},
		"list of no customer":  {"GET", "/orders?customer=%00", "", "", 400, "customer"},
		"list after no order":  {"GET", "/orders?after=%FF", "", "", 400, "after"},
		"list of no status":    {"GET", "/orders?status=lost", "", "", 400, "status must be one of"},
		"no id":                {"GET", "/orders/%00", "", "", 404, "no order"},
		"unknown order":        {"GET", "/orders/none", "", "", 404, "none"},
		"change of an unknown": {"PATCH", "/orders/none", "", `{}`, 404, "none"},
		"cancel of an unknown": {"POST", "/orders/none/cancel", "", `{}`, 404, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			requireProblem(t, b.request(tc.method, tc.path, tc.key, tc.body), tc.status, tc.detail)
		})
	}
}

// The service is not running when the order is accepted, as after a crash.
func TestAnAcceptedOrderIsPlacedWhenTheServiceComesBack(t *testing.T) {
	b, customer := newBench(t, kittest.SQLite), uuid.NewString()
	stopped, err := orders.New(t.Context(), orders.Config{Shards: b.shards, Kafka: b.kafka, Logger: quiet})
	require.NoError(t, err)
	_, err = b.shards[0].DB.SQL.ExecContext(t.Context(),
		"INSERT INTO customers (id, name, email) VALUES (?, 'Ada', 'a@b.org')", customer)
	require.NoError(t, err)
	b.handler = stopped.Handler()
	w := b.request("POST", "/orders", "k", orderBody(customer, events.Choreographed))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	b.start(1).waitForStatus(w.Header().Get("Location"), order.Confirmed)
}

func TestAnErasedCustomerGetsNoOrder(t *testing.T) {
	b := newBench(t, four...).start(4)
	customer := uuid.NewString()
	b.knowCustomer(customer)
	require.NoError(t, b.produce(t.Context(), events.Customers, customer, events.CustomerErased,
		events.Customer{ID: customer, Version: 2, Deleted: true}))
	b.waitForCustomer(shards.Owner(b.shards, customer), customer, 0)
	w := b.request("POST", "/orders", "k", orderBody(customer, events.Orchestrated))
	requireProblem(t, w, http.StatusUnprocessableEntity, "erased")
	require.Empty(t, w.Header().Get("Location"))
}

func TestCustomersMoveWhileTheyOrderAndEveryAcceptedOrderEnds(t *testing.T) {
	for name, urls := range map[string][]func(testing.TB) string{
		"sqlite":                 append(four[:4:4], kittest.SQLite),
		"postgresql and mariadb": {kittest.PostgreSQL, kittest.MariaDB, kittest.PostgreSQL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, urls...)
			all, old := b.shards, len(urls)-1
			b.shards = all[:old]
			b.start(old)
			var customers []string
			moving := 0
			for i := range 8 {
				customers = append(customers, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String())
				b.knowCustomer(customers[i])
				b.place(customers[i], "first", events.Orchestrated)
				if shards.Owner(all, customers[i]).Name == all[old].Name {
					moving++
				}
			}
			require.Positive(t, moving)

			b.stop()
			b.shards = all
			b.start(old)
			for _, customer := range customers {
				b.waitForCustomer(all[old], customer, 1)
			}
			accepted, refused := make([][]string, len(customers)), 0
			post := func(i, n int) {
				w := b.request("POST", "/orders", fmt.Sprint(n), orderBody(customers[i], events.Orchestrated))
				switch w.Code {
				case http.StatusAccepted:
					accepted[i] = append(accepted[i], w.Header().Get("Location"))
				case http.StatusServiceUnavailable:
					require.Equal(t, "1", w.Header().Get("Retry-After"))
					refused++
				default:
					t.Errorf("order %d of %s: %d %s", n, customers[i], w.Code, w.Body)
				}
			}
			for i := range customers {
				post(i, 0)
			}
			moved := make(chan error, 1)
			go func() {
				moves, err := b.service.MoveCustomers(t.Context())
				if err == nil && moves.Moved != moving {
					err = fmt.Errorf("%d customers moved, not %d: %+v", moves.Moved, moving, moves)
				}
				moved <- err
			}()
			for n := 1; n <= 6; n++ {
				for i := range customers {
					post(i, n)
				}
			}
			require.NoError(t, <-moved)
			total := len(customers)
			for i := range customers {
				for _, path := range accepted[i] {
					o := b.waitForStatus(path, order.Confirmed)
					home := shards.Owner(b.shards, customers[i])
					var here int
					require.NoError(t, home.DB.SQL.QueryRowContext(t.Context(), home.DB.Bind(
						"SELECT COUNT(*) FROM order_events WHERE stream = ?"), o.OrderID).Scan(&here))
					require.EqualValues(t, o.Version, here)
					total++
				}
			}
			t.Logf("%d orders were accepted and confirmed, %d refused for a second", total, refused)
			requireOnce(t, b.shards, total)
		})
	}
}

// requireOnce finds each order in one shard.
func requireOnce(t *testing.T, all []shards.Shard, total int) {
	t.Helper()
	found := 0
	for _, s := range all {
		var n int
		require.NoError(t, s.DB.SQL.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM order_streams").Scan(&n))
		found += n
	}
	require.Equal(t, total, found)
}

// A shard that is down keeps its own customers from ordering, and nobody else.
func TestRequestsForOtherShardsGoOnWhenOneIsDown(t *testing.T) {
	b := newBench(t, four...)
	s, err := orders.New(t.Context(), orders.Config{Shards: b.shards, Kafka: b.kafka, Logger: quiet})
	require.NoError(t, err)
	b.handler = s.Handler()
	customers := map[string]string{} // by shard
	for len(customers) < len(b.shards) {
		id := uuid.NewString()
		customers[shards.Owner(b.shards, id).Name] = id
	}
	for _, one := range b.shards {
		_, err := one.DB.SQL.ExecContext(t.Context(),
			"INSERT INTO customers (id, name, email) VALUES (?, 'Ada', 'a@b.org')", customers[one.Name])
		require.NoError(t, err)
	}
	down := b.shards[1]
	require.NoError(t, down.DB.SQL.Close())
	for _, one := range b.shards {
		w := b.request("POST", "/orders", "k", orderBody(customers[one.Name], events.Orchestrated))
		if one.Name == down.Name {
			require.Equal(t, "/problems/shard-down", requireProblem(t, w, 503, "does not answer").Type)
			continue
		}
		require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	}
	// Nobody knows whether the shard that is down has it.
	requireProblem(t, b.request("GET", "/orders/"+uuid.NewString(), "", ""), 503, "does not answer")
}
