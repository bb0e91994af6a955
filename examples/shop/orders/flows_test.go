package orders_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/saga"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/orders/view"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
)

// shop is the three services that an order goes through, each with its database and relay. Stock and payments can be
// stopped and started.
type shop struct {
	t                       *testing.T
	kafka                   kit.Kafka
	orders, stock, payments http.Handler
	stockPart, paymentsPart *part
}

// eachShop runs fn with a shop on each kind of database.
func eachShop(t *testing.T, timeout time.Duration, fn func(s *shop)) {
	t.Helper()
	for name, fresh := range map[string]func(testing.TB) string{
		"sqlite": kittest.SQLite, "postgresql": kittest.PostgreSQL, "mariadb": kittest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(newShop(t, timeout, fresh))
		})
	}
}

func newShop(t *testing.T, timeout time.Duration, fresh func(testing.TB) string) *shop {
	t.Helper()
	s := &shop{t: t, kafka: kittest.Kafka(t)}
	database := func(name string) shards.Shard {
		made := shards.Shard{Name: name, DB: kittest.Open(t, fresh(t))}
		kittest.Run(t, func(ctx context.Context) error { return runRelay(ctx, made, "", s.kafka) })
		return made
	}
	ofOrders, ofStock, ofPayments := database("orders"), database("stock"), database("payments")

	service, err := orders.New(t.Context(), orders.Config{
		Shards: []shards.Shard{ofOrders}, Kafka: s.kafka, Timeout: timeout, Logger: quiet,
	})
	require.NoError(t, err)
	s.orders = service.Handler()
	kittest.Run(t, service.Run)
	s.stockPart = newPart(t, func() func(context.Context) error {
		service, err := stock.New(t.Context(), ofStock.DB, s.kafka, quiet)
		require.NoError(t, err)
		s.stock = service.Handler()
		return service.Run
	})
	s.paymentsPart = newPart(t, func() func(context.Context) error {
		service, err := payments.New(t.Context(), ofPayments.DB, s.kafka, quiet)
		require.NoError(t, err)
		s.payments = service.Handler()
		return service.Run
	})
	s.do(s.stock, "POST", "/items/pen/deliveries", `{"quantity":100}`, http.StatusCreated)
	return s
}

// part is a service that handles messages until it is stopped.
type part struct {
	t    *testing.T
	open func() (run func(context.Context) error)
	stop func()
}

func newPart(t *testing.T, open func() func(context.Context) error) *part {
	t.Helper()
	p := &part{t: t, open: open}
	p.start()
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *part) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	run, ended := p.open(), make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			p.t.Errorf("a service has ended: %v", err)
		}
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-ended })
}

func (s *shop) do(h http.Handler, method, path, body string, status int) string {
	s.t.Helper()
	w := kittest.Do(h, method, path, body)
	require.Equal(s.t, status, w.Code, w.Body.String())
	return w.Body.String()
}

// await repeats a GET until the answer is right, and returns it.
func (s *shop) await(h http.Handler, path string, right func(answer string) bool) (answer string) {
	s.t.Helper()
	s.until(path, func() bool {
		w := kittest.Do(h, "GET", path, "")
		answer = w.Body.String()
		return w.Code == http.StatusOK && right(answer)
	})
	return answer
}

// until repeats f until it returns true. It runs f in the test's own goroutine, where f may end the test.
func (s *shop) until(what string, f func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), kittest.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("never got the right answer: %s", what)
		case <-tick.C:
		}
	}
}

const deposited = 1000

// newCustomer makes a customer with money.
func (s *shop) newCustomer() string {
	s.t.Helper()
	id := uuid.NewString()
	kittest.Send(s.t, s.kafka, events.Customers, id, events.CustomerCreated,
		events.Customer{ID: id, Name: "Ada", Email: "ada@example.org", Version: 1})
	s.do(s.payments, "POST", "/accounts/"+id+"/deposits", fmt.Sprintf(`{"cents":%d}`, deposited), http.StatusCreated)
	return id
}

// placeOne orders two pens. Orders answers 422 until it knows the customer.
func (s *shop) placeOne(customer string, flow events.Flow) (id string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"customer":%q,"items":[{"sku":"pen","quantity":2}],"flow":%q}`, customer, flow)
	key := uuid.NewString()
	s.until("POST /orders", func() bool {
		w := kittest.Do(s.orders, "POST", "/orders", body, "Idempotency-Key", key)
		if w.Code != http.StatusAccepted {
			require.Equal(s.t, http.StatusUnprocessableEntity, w.Code, w.Body.String())
			return false
		}
		id = strings.TrimPrefix(w.Header().Get("Location"), "/orders/")
		return true
	})
	s.await(s.orders, "/orders/"+id, func(string) bool { return true }) // it is placed
	return id
}

func (s *shop) awaitStatus(id string, want ...order.Status) (o order.Order) {
	s.t.Helper()
	s.await(s.orders, "/orders/"+id, func(answer string) bool {
		o = order.Order{}
		require.NoError(s.t, json.Unmarshal([]byte(answer), &o))
		for _, status := range want {
			if o.Status == status {
				return true
			}
		}
		return false
	})
	return o
}

// awaitEvents waits until there are n events of a type about an order on a topic.
func (s *shop) awaitEvents(topic, id, kind string, n int) {
	s.t.Helper()
	for all := 1; ; all++ { // one more each time, until there are enough
		found := 0
		for _, e := range kittest.Events(s.t, s.kafka, topic, all) {
			if e.Key == id && e.Type == kind {
				found++
			}
		}
		if found >= n {
			return
		}
	}
}

// requireUndone finds the order cancelled and nothing left of it, at once: whoever sees that an order is cancelled
// finds the money and the goods where they were.
func (s *shop) requireUndone(id, customer, reason string) {
	s.t.Helper()
	require.Equal(s.t, reason, s.awaitStatus(id, order.Cancelled).Reason)
	require.Contains(s.t, s.do(s.payments, "GET", "/accounts/"+customer, "", http.StatusOK),
		fmt.Sprintf(`"balance_cents":%d,`, deposited))
	require.Contains(s.t, s.do(s.stock, "GET", "/reservations/"+id, "", http.StatusOK), `"state":"released"`)
	require.Contains(s.t, s.do(s.stock, "GET", "/items/pen", "", http.StatusOK), `"available":100,"reserved":0`)
}

// listed returns an order in the list of those with a status.
func (s *shop) listed(status, id string) (row view.Row, found bool) {
	s.t.Helper()
	var list []view.Row
	answer := s.do(s.orders, "GET", "/orders?status="+status, "", http.StatusOK)
	require.NoError(s.t, json.Unmarshal([]byte(answer), &list))
	for _, row := range list {
		if row.OrderID == id {
			return row, true
		}
	}
	return view.Row{}, false
}

func (s *shop) awaitListed(status, id string) (row view.Row) {
	s.t.Helper()
	s.until("in the list of "+status, func() (found bool) {
		row, found = s.listed(status, id)
		return found
	})
	return row
}

func TestACustomerCancelsInTheMiddleOfTheOrder(t *testing.T) {
	moments := map[string]func(s *shop, customer string, flow events.Flow) (id string, goOn func()){
		"while stock reserves": func(s *shop, customer string, flow events.Flow) (string, func()) {
			s.stockPart.stop()
			return s.placeOne(customer, flow), s.stockPart.start
		},
		"when stock has reserved": func(s *shop, customer string, flow events.Flow) (string, func()) {
			s.paymentsPart.stop()
			id := s.placeOne(customer, flow)
			s.await(s.stock, "/reservations/"+id, func(a string) bool { return strings.Contains(a, `"reserved"`) })
			return id, s.paymentsPart.start
		},
		"while payments takes the money": func(s *shop, customer string, flow events.Flow) (string, func()) {
			s.paymentsPart.stop()
			id := s.placeOne(customer, flow)
			if flow == events.Orchestrated {
				s.awaitEvents(events.PaymentCommands, id, events.TypeTakePayment, 1)
			} else {
				s.awaitEvents(events.Stock, id, events.TypeStockReserved, 1)
			}
			return id, s.paymentsPart.start
		},
		"when it is confirmed": func(s *shop, customer string, flow events.Flow) (string, func()) {
			id := s.placeOne(customer, flow)
			s.awaitStatus(id, order.Confirmed)
			return id, func() {}
		},
	}
	eachShop(t, time.Hour, func(s *shop) {
		for moment, reach := range moments {
			for _, flow := range []events.Flow{events.Orchestrated, events.Choreographed} {
				s.t.Log(moment, flow)
				customer := s.newCustomer()
				id, goOn := reach(s, customer, flow)
				answer := s.do(s.orders, "POST", "/orders/"+id+"/cancel", "{}", http.StatusOK)
				require.Contains(s.t, answer, `"status":"cancelling"`)
				goOn()
				s.requireUndone(id, customer, events.ReasonCustomer)
			}
		}
	})
}

// Stock is stopped, and the timers are real ones. The command is sent again, then the order is given up, then also the
// compensation gets no answer, and the order is listed with that. The command to repair finds stock running again.
func TestAnOrderWhoseCommandsGetNoAnswerIsSentAgainThenUndoneThenListedAndRepaired(t *testing.T) {
	eachShop(t, 200*time.Millisecond, func(s *shop) {
		customer := s.newCustomer()
		s.stockPart.stop()
		id := s.placeOne(customer, events.Orchestrated)
		require.Equal(s.t, "no answer after 3 attempts", s.awaitListed("stuck", id).Reason)
		s.awaitEvents(events.StockCommands, id, events.TypeReserveStock, saga.Attempts)
		s.awaitEvents(events.StockCommands, id, events.TypeReleaseStock, saga.Attempts)

		answer := s.do(s.orders, "POST", "/orders/"+id+"/repair", "{}", http.StatusOK)
		require.Contains(s.t, answer, `"status":"cancelling"`)
		s.stockPart.start()
		s.requireUndone(id, customer, events.ReasonTimeout)
		s.awaitListed("cancelled", id)
		_, found := s.listed("stuck", id)
		require.False(s.t, found)
	})
}

// Payments is stopped while the money is taken, and comes back after the order was given up. The commands wait for it
// in Kafka: it takes the money and gives it back, and nobody has to repair anything.
func TestAnOrderThatWasGivenUpIsUndoneWhenPaymentsComesBack(t *testing.T) {
	eachShop(t, 200*time.Millisecond, func(s *shop) {
		customer := s.newCustomer()
		s.paymentsPart.stop()
		id := s.placeOne(customer, events.Orchestrated)
		s.awaitStatus(id, order.Stuck, order.Cancelled) // cancelled, if stock was too slow as well
		s.paymentsPart.start()
		s.requireUndone(id, customer, events.ReasonTimeout)
	})
}

func TestACompensationThatFailsIsListedWithItsReasonAndRepairedByACommand(t *testing.T) {
	eachShop(t, time.Hour, func(s *shop) {
		for _, flow := range []events.Flow{events.Orchestrated, events.Choreographed} {
			customer := s.newCustomer()
			id := s.placeOne(customer, flow)
			s.awaitStatus(id, order.Confirmed)
			s.do(s.payments, "PATCH", "/accounts/"+customer, `{"closed":true}`, http.StatusOK)
			s.do(s.orders, "POST", "/orders/"+id+"/cancel", "{}", http.StatusOK)
			row := s.awaitListed("stuck", id)
			require.Equal(s.t, "the account is closed", row.Reason)

			s.do(s.orders, "POST", "/orders/"+id+"/repair", "{}", http.StatusOK)
			s.awaitEvents(events.Orders, id, events.TypeOrderStuck, 2) // the cause is still there
			s.awaitStatus(id, order.Stuck)

			s.do(s.payments, "PATCH", "/accounts/"+customer, `{"closed":false}`, http.StatusOK)
			s.do(s.orders, "POST", "/orders/"+id+"/repair", "{}", http.StatusOK)
			s.requireUndone(id, customer, events.ReasonCustomer)
			s.awaitListed("cancelled", id)
		}
	})
}
