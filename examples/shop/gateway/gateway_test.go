package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/customers"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a gateway in front of real services. Only orders is a stand-in: it says what the test makes it say.
type shop struct {
	t         *testing.T
	kafka     kit.Kafka
	redis     *miniredis.Miniredis
	h         http.Handler // the gateway
	stock     http.Handler
	payments  http.Handler
	customers http.Handler
	servers   map[string]*httptest.Server
	orders    *fakeOrders
}

func start(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, kafka: kittest.Kafka(t), redis: miniredis.RunT(t), servers: map[string]*httptest.Server{}}
	db := kittest.Open(t, kittest.SQLite(t))
	stockService, err := stock.New(t.Context(), db, s.kafka, kittest.Quiet())
	require.NoError(t, err)
	s.stock = stockService.Handler()
	kittest.Relay(t, db, s.kafka)
	db = kittest.Open(t, kittest.SQLite(t))
	paymentsService, err := payments.New(t.Context(), db, s.kafka, kittest.Quiet())
	require.NoError(t, err)
	s.payments = paymentsService.Handler()
	kittest.Relay(t, db, s.kafka)
	db = kittest.Open(t, kittest.SQLite(t))
	customersService, err := customers.New(t.Context(), db, s.kafka)
	require.NoError(t, err)
	s.customers = customersService.Handler()
	kittest.Relay(t, db, s.kafka)
	s.orders = &fakeOrders{bodies: map[string]map[string]any{}}
	for name, h := range map[string]http.Handler{
		"orders": s.orders, "stock": s.stock, "payments": s.payments, "customers": s.customers,
	} {
		s.servers[name] = httptest.NewServer(h)
		t.Cleanup(s.servers[name].Close)
	}
	transport := &http.Transport{}
	client := cache.Connect(s.redis.Addr())
	g, err := gateway.New(t.Context(), gateway.Config{
		DB: kittest.Open(t, kittest.SQLite(t)), Kafka: s.kafka, Redis: client, Cache: cache.Config{Settle: -1},
		Services: gateway.Services{
			Orders: s.servers["orders"].URL, Stock: s.servers["stock"].URL,
			Payments: s.servers["payments"].URL, Customers: s.servers["customers"].URL,
		},
		Deadline: time.Minute, Transport: transport, Logger: kittest.Quiet(),
	})
	require.NoError(t, err)
	s.h = g.Handler()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, client.Close())
	})
	kittest.Run(t, g.Run, stockService.Run, paymentsService.Run)
	return s
}

// fakeOrders is orders as the gateway sees it.
type fakeOrders struct {
	mu     sync.Mutex
	bodies map[string]map[string]any
	last   *http.Request
}

func (f *fakeOrders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodGet {
		body, there := f.bodies[strings.TrimPrefix(r.URL.Path, "/orders/")]
		if !there {
			w.WriteHeader(http.StatusNotFound)
		}
		_ = json.NewEncoder(w).Encode(body)
		return
	}
	f.last = r.Clone(r.Context())
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("ETag", `"4"`)
	kit.WriteError(w, r, kit.Conflict("the order is at version 4", 4))
}

func (f *fakeOrders) set(id string, body map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies[id] = body
}

func (s *shop) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return kittest.Do(s.h, method, path, body, headers...)
}

func (s *shop) get(path string, headers ...string) (gateway.Answer, *httptest.ResponseRecorder) {
	s.t.Helper()
	w := s.do("GET", path, "", headers...)
	var a gateway.Answer
	if w.Code == http.StatusOK {
		require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &a))
	}
	return a, w
}

func (s *shop) require(status int, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := kittest.Do(h, method, path, body)
	require.Equal(s.t, status, w.Code, w.Body)
	return w
}

func (s *shop) waitFor(what string, holds func() bool) {
	s.t.Helper()
	require.Eventually(s.t, holds, 2*time.Minute, 5*time.Millisecond, what)
}

// place makes a customer with money and an order whose stock is reserved and which is paid, and waits until the read
// model has all of it.
func (s *shop) place() (order, customer string) {
	s.t.Helper()
	var c customers.Customer
	w := s.require(http.StatusCreated, s.h, "POST", "/customers", `{"name":"Ada","email":"ada@example.com"}`)
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &c))
	s.require(http.StatusCreated, s.payments, "POST", "/accounts/"+c.ID+"/deposits", `{"cents":1000}`)
	s.require(http.StatusCreated, s.stock, "POST", "/items/pen/deliveries", `{"quantity":10}`)
	id := uuid.NewString()
	of := events.Of{OrderID: id, Customer: c.ID}
	s.orders.set(id, map[string]any{
		"order_id": id, "customer": c.ID, "version": 2, "flow": "choreographed", "cents": 300,
		"items": []map[string]any{{"sku": "pen", "quantity": 3}}, "status": "confirmed",
	})
	kittest.Send(s.t, s.kafka, events.Orders, id, events.TypeOrderPlaced, events.OrderPlaced{
		Of: of, Version: 1, Flow: events.Choreographed, Items: []events.Item{{SKU: "pen", Quantity: 3}}, Cents: 300,
	})
	kittest.Send(s.t, s.kafka, events.Orders, id, events.TypeOrderConfirmed,
		events.OrderConfirmed{Of: of, Version: 2, Cents: 300})
	s.waitFor("the read model", func() bool {
		a, w := s.get("/orders/" + id)
		return w.Header().Get("X-Answer-From") == "" && a.Version == 2 && a.Stock != nil && a.Payment != nil &&
			a.Customer != nil
	})
	return id, c.ID
}

func TestReadModelAndCompositionAreEqualAtRest(t *testing.T) {
	s := start(t)
	id, customer := s.place()
	requireEqual := func() {
		t.Helper()
		model, _ := s.get("/orders/" + id)
		composed, w := s.get("/orders/" + id + "?min_version=1000000") // the model is behind that
		require.Equal(t, "services", w.Header().Get("X-Answer-From"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, model, composed)
		require.False(t, model.Partial)
	}
	requireEqual()
	require.Contains(t, s.do("GET", "/watch/orders/"+id, "").Body.String(), "payment.taken")
	require.Contains(t, s.do("GET", "/", "").Body.String(), id)
	require.Equal(t, http.StatusOK, s.do("DELETE", "/customers/"+customer, "").Code)
	s.waitFor("the erasure", func() bool { a, _ := s.get("/orders/" + id); return a.Customer.Erased })
	requireEqual()
	require.Equal(t, http.StatusGone, s.do("GET", "/customers/"+customer, "").Code)
}

func TestEachServiceMayBeDead(t *testing.T) {
	s := start(t)
	id, _ := s.place()
	for _, dead := range []string{"stock", "payments", "customers", "orders"} {
		s.servers[dead].Close() // and stays dead: at the end all of them are
		a, w := s.get("/orders/" + id)
		require.Equal(t, http.StatusOK, w.Code)
		require.False(t, a.Partial, "the read model needs no service")

		a, w = s.get("/orders/" + id + "?min_version=3")
		require.Equal(t, http.StatusOK, w.Code)
		require.True(t, a.Partial)
		require.Contains(t, a.Missing, gateway.Missing{Part: dead, Reason: "not reachable"})
		require.Equal(t, "taken", a.Payment.State, "what was known last")
	}
	w := s.do("POST", "/orders", `{}`)
	require.Equal(t, http.StatusBadGateway, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "127.0.0.1")
	require.Equal(t, http.StatusServiceUnavailable, s.do("GET", "/orders/unknown", "").Code)
}

func TestAnAnswerThatTheClientHasIsNotSentAgain(t *testing.T) {
	s := start(t)
	id, customer := s.place()
	for _, path := range []string{"/orders/" + id, "/customers/" + customer, "/customers/" + customer + "/orders"} {
		_, w := s.get(path)
		tag := w.Header().Get("ETag")
		require.NotEmpty(t, tag, path)
		require.Equal(t, "private, no-cache", w.Header().Get("Cache-Control"))
		_, w = s.get(path, "If-None-Match", `"other", `+tag)
		require.Equal(t, http.StatusNotModified, w.Code)
		require.Empty(t, w.Body.String())
	}
	_, w := s.get("/orders/" + id)
	tag := w.Header().Get("ETag")
	require.Equal(t, http.StatusOK, s.do("PATCH", "/customers/"+customer, `{"name":"Ada L."}`).Code)
	s.waitFor("the new name", func() bool {
		a, w := s.get("/orders/"+id, "If-None-Match", tag)
		return w.Code == http.StatusOK && a.Customer.Name == "Ada L."
	})
}

// One ETag is one answer, whether the service gave it or the read model did.
func TestACustomerIsTheSameFromTheServiceAndFromTheReadModel(t *testing.T) {
	s := start(t)
	created := s.require(http.StatusCreated, s.h, "POST", "/customers", `{"name":"Ada <a>","email":"ada@example.com"}`)
	var c customers.Customer
	require.NoError(t, json.Unmarshal(created.Body.Bytes(), &c))
	fromService := kittest.Do(s.customers, "GET", "/customers/"+c.ID, "")
	s.waitFor("the read model", func() bool { return s.model(c.ID) })
	fromModel := s.do("GET", "/customers/"+c.ID, "")
	require.Equal(t, "private, no-cache", fromModel.Header().Get("Cache-Control"))
	require.Equal(t, fromService.Body.String(), fromModel.Body.String())
	require.Equal(t, fromService.Header().Get("ETag"), fromModel.Header().Get("ETag"))
}

// model tells whether the read model has the customer.
func (s *shop) model(customer string) bool {
	return s.do("GET", "/customers/"+customer, "").Header().Get("Cache-Control") != ""
}

func TestClientsCannotFillRedis(t *testing.T) {
	s := start(t)
	kittest.Send(t, s.kafka, events.Orders, "order-1", events.TypeOrderPlaced,
		events.OrderPlaced{Of: events.Of{OrderID: "order-1", Customer: "ada"}, Version: 1})
	s.waitFor("the order", func() bool {
		return strings.Contains(s.do("GET", "/customers/ada/orders", "").Body.String(), "order-1")
	})
	before := len(s.redis.Keys())
	for n := range 10 {
		for _, path := range []string{
			fmt.Sprintf("/customers/ada/orders?after=%d", n), fmt.Sprintf("/customers/nobody-%d/orders", n),
			fmt.Sprintf("/orders/nothing-%d", n), fmt.Sprintf("/customers/nobody-%d", n),
		} {
			require.Less(t, s.do("GET", path, "").Code, http.StatusInternalServerError, path)
		}
	}
	require.Len(t, s.redis.Keys(), before, s.redis.Keys())
	for _, path := range []string{"/customers/ada/orders?after=a%20b", "/customers/a%20b/orders"} {
		require.Equal(t, http.StatusBadRequest, s.do("GET", path, "").Code, path)
	}
	for _, path := range []string{"/customers/a%20b", "/orders/a%20b", "/orders/" + strings.Repeat("a", 65)} {
		require.Equal(t, http.StatusNotFound, s.do("GET", path, "").Code, path)
	}
}

func TestTheReadModelIsRebuiltByACommand(t *testing.T) {
	s := start(t)
	id, _ := s.place()
	_, before := s.get("/orders/" + id)
	w := s.require(http.StatusAccepted, s.h, "POST", "/view/rebuilds", "")
	require.JSONEq(t, `{"generation":2}`, w.Body.String())
	s.waitFor("the switch", func() bool {
		body := s.do("GET", "/view", "").Body.String()
		return body == `[{"generation":1,"state":"deleted"},{"generation":2,"state":"live"}]`
	})
	_, after := s.get("/orders/" + id)
	require.Equal(t, before.Body.String(), after.Body.String())
	require.Equal(t, before.Header().Get("ETag"), after.Header().Get("ETag"), "the same answer has the same ETag")
}

func TestPagesAreStableAndWithoutRedisToo(t *testing.T) {
	s := start(t)
	customer := "ada"
	for n := range 5 {
		id := fmt.Sprint("order-", n)
		kittest.Send(t, s.kafka, events.Orders, id, events.TypeOrderPlaced,
			events.OrderPlaced{Of: events.Of{OrderID: id, Customer: customer}, Version: 1})
	}
	type page struct {
		Orders []gateway.Answer `json:"orders"`
		Next   string           `json:"next"`
	}
	read := func(query string) (p page) {
		t.Helper()
		w := s.do("GET", "/customers/ada/orders"+query, "")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		return p
	}
	s.waitFor("all orders", func() bool { return len(read("").Orders) == 5 })
	for range 2 {
		var ids []string
		for p := read("?limit=2"); ; p = read("?limit=2&after=" + p.Next) {
			for _, o := range p.Orders {
				ids = append(ids, o.OrderID)
			}
			if p.Next == "" {
				break
			}
		}
		require.Equal(t, []string{"order-0", "order-1", "order-2", "order-3", "order-4"}, ids)
		s.redis.Close()
	}
}

func TestCommandsGoThrough(t *testing.T) {
	s := start(t)
	w := s.do("PATCH", "/orders/o", `{"note":"x"}`, "If-Match", `"3.7.2"`, "X-Request-Id", "mine")
	require.Equal(t, http.StatusConflict, w.Code)
	require.Equal(t, `"4"`, w.Header().Get("ETag"))
	require.Contains(t, w.Body.String(), `"current_version":4`)
	require.Equal(t, []string{"mine"}, w.Header().Values("X-Request-Id"))
	require.Equal(t, `"3"`, s.orders.last.Header.Get("If-Match"))
	require.Equal(t, "mine", s.orders.last.Header.Get("X-Request-Id"))
	require.NotEmpty(t, s.orders.last.Header.Get("Idempotency-Key"))

	s.do("PATCH", "/orders/o", `{"note":"x"}`, "If-Match", `W/"3.7.2"`, "Origin", "http://example.com")
	require.Equal(t, `W/"3.7.2"`, s.orders.last.Header.Get("If-Match"), "a weak ETag has become a strong one")
	require.Empty(t, s.orders.last.Header.Get("Origin"), "orders has another address than the page")

	w = s.do("POST", "/orders/o/cancel", "{}", "X-Request-Id", "no\nline")
	require.Equal(t, "/orders/o/cancel", s.orders.last.URL.Path)
	require.NoError(t, uuid.Validate(w.Header().Get("X-Request-Id")))
}

func TestBadRequestsGetProblems(t *testing.T) {
	s := start(t)
	large := `{"note":"` + strings.Repeat("a", kit.MaxBody) + `"}`
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
	}{
		"an unknown order":    {"GET", "/orders/unknown", "", http.StatusNotFound},
		"an unknown customer": {"GET", "/customers/unknown", "", http.StatusNotFound},
		"an unknown path":     {"GET", "/nothing", "", http.StatusNotFound},
		"a wrong version":     {"GET", "/orders/o?min_version=x", "", http.StatusBadRequest},
		"a wrong limit":       {"GET", "/customers/c/orders?limit=1000", "", http.StatusBadRequest},
		"bad JSON":            {"POST", "/customers", "{", http.StatusBadRequest},
		"a large body":        {"POST", "/orders", large, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.do(tc.method, tc.path, tc.body)
			require.Equal(t, tc.status, w.Code, w.Body)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.NotEmpty(t, w.Header().Get("X-Request-Id"))
		})
	}
}
