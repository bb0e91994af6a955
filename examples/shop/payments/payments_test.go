package payments_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/payments"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a running payments service with its relay.
type shop struct {
	t     *testing.T
	kafka kit.Kafka
	s     *payments.Service
	h     http.Handler
}

func start(t *testing.T, db *kit.DB, kafka kit.Kafka) shop {
	t.Helper()
	s := open(t, db, kafka)
	kittest.Run(t, s.s.Run)
	kittest.Relay(t, db, kafka)
	return s
}

// open returns a payments service that handles requests, and no messages.
func open(t *testing.T, db *kit.DB, kafka kit.Kafka) shop {
	t.Helper()
	s, err := payments.New(t.Context(), db, kafka, kittest.Quiet())
	require.NoError(t, err)
	return shop{t, kafka, s, s.Handler()}
}

func (s shop) deposit(cents int) {
	s.t.Helper()
	w := kittest.Do(s.h, "POST", "/accounts/"+ada+"/deposits", `{"cents":`+strconv.Itoa(cents)+`}`)
	require.Equal(s.t, http.StatusCreated, w.Code, w.Body.String())
}

func (s shop) setClosed(closed bool) {
	s.t.Helper()
	w := kittest.Do(s.h, "PATCH", "/accounts/"+ada, `{"closed":`+strconv.FormatBool(closed)+`}`)
	require.Equal(s.t, http.StatusOK, w.Code, w.Body.String())
}

func (s shop) requireBalance(cents int64) {
	s.t.Helper()
	var a payments.Account
	require.NoError(s.t, json.Unmarshal(kittest.Do(s.h, "GET", "/accounts/"+ada, "").Body.Bytes(), &a))
	require.Equal(s.t, cents, a.BalanceCents)
}

// send sends a message that no other call has sent.
func (s shop) send(topic, orderID, eventType string, body any) {
	s.t.Helper()
	payload, err := json.Marshal(body)
	require.NoError(s.t, err)
	kittest.SendAs(s.t, s.kafka, uuid.NewString(), topic, orderID, eventType, payload)
}

// A customer and an order.
const (
	ada = "5a1c7c5e-0d43-4a6f-9a7e-3f2b8f6f0001"
	one = "5a1c7c5e-0d43-4a6f-9a7e-3f2b8f6f0002"
)

func of(orderID string) events.Of { return events.Of{OrderID: orderID, Customer: ada} }

func (s shop) take(orderID string, cents int64) {
	s.t.Helper()
	s.send(events.PaymentCommands, orderID, events.TypeTakePayment, events.TakePayment{Of: of(orderID), Cents: cents})
}

func (s shop) refund(orderID string) {
	s.t.Helper()
	s.send(events.PaymentCommands, orderID, events.TypeRefundPayment, events.RefundPayment{Of: of(orderID)})
}

// requireAnswers waits for the answers to one order and compares their types.
func (s shop) requireAnswers(types ...string) []kittest.Event {
	s.t.Helper()
	var got []string
	answers := kittest.Events(s.t, s.kafka, events.Payments, len(types))
	for _, a := range answers {
		got = append(got, a.Type)
	}
	require.Equal(s.t, types, got)
	return answers
}

func TestACommandThatIsSentAgainMovesNoMoneyAndGetsTheSameAnswer(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		s.deposit(700)
		s.deposit(300)
		s.take(one, 400)
		s.take(one, 400)
		s.requireAnswers(events.TypePaymentTaken, events.TypePaymentTaken)
		s.requireBalance(600)

		s.refund(one)
		s.refund(one)
		s.take(one, 400) // too late
		answers := s.requireAnswers(events.TypePaymentTaken, events.TypePaymentTaken,
			events.TypePaymentRefunded, events.TypePaymentRefunded, events.TypePaymentRefused)
		s.requireBalance(1000)

		var refunded events.PaymentRefunded
		answers[3].Into(t, &refunded)
		require.Equal(t, events.PaymentRefunded{Of: of(one), Flow: events.Orchestrated, Cents: 400}, refunded)
		require.JSONEq(t, `{"order_id":"`+one+`","customer":"`+ada+`","cents":400,"state":"refunded"}`,
			kittest.Do(s.h, "GET", "/payments/"+one, "").Body.String())
	})
}

func TestARefusalSaysWhyAndMovesNoMoney(t *testing.T) {
	for reason, tc := range map[string]struct {
		prepare func(s shop)
		cents   int64
	}{
		payments.ReasonNoAccount: {func(shop) {}, 400},
		payments.ReasonTooLittle: {func(s shop) { s.deposit(399) }, 400},
		payments.ReasonClosed:    {func(s shop) { s.deposit(500); s.setClosed(true) }, 400},
		payments.ReasonAmount:    {func(s shop) { s.deposit(500) }, -400},
		payments.ReasonRefunded:  {func(s shop) { s.deposit(500); s.refund(one) }, 400},
		payments.ReasonSwitch: {func(s shop) {
			s.deposit(500)
			require.Equal(s.t, http.StatusOK, kittest.Do(s.h, "PUT", "/refuse-all", `{"refuse":true}`).Code)
		}, 400},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			kittest.Each(t, func(t *testing.T, db *kit.DB) {
				s := start(t, db, kittest.Kafka(t))
				tc.prepare(s)
				before := kittest.Do(s.h, "GET", "/accounts/"+ada, "").Body.String()
				s.take(one, tc.cents)
				n := 1
				if reason == payments.ReasonRefunded {
					n = 2 // the refund's answer
				}
				answers := kittest.Events(t, s.kafka, events.Payments, n)
				var refused events.PaymentRefused
				answers[n-1].Into(t, &refused)
				require.Equal(t, events.PaymentRefused{
					Of: of(one), Flow: events.Orchestrated, Reason: reason,
				}, refused)
				require.Equal(t, before, kittest.Do(s.h, "GET", "/accounts/"+ada, "").Body.String())
			})
		})
	}
}

func TestARefundToAClosedAccountFailsUntilItIsOpened(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		s.deposit(500)
		s.take(one, 400)
		s.requireAnswers(events.TypePaymentTaken)
		s.setClosed(true)
		s.refund(one)
		s.requireAnswers(events.TypePaymentTaken, events.TypeRefundFailed)
		s.requireBalance(100)
		s.setClosed(false)
		s.refund(one)
		s.requireAnswers(events.TypePaymentTaken, events.TypeRefundFailed, events.TypePaymentRefunded)
		s.requireBalance(500)
	})
}

func TestInAChoreographedOrderPaymentsActsByItself(t *testing.T) {
	s := start(t, kittest.Open(t, kittest.PostgreSQL(t)), kittest.RealKafka(t))
	s.deposit(500)
	other := uuid.NewString()
	s.send(events.Stock, other, events.TypeStockReserved,
		events.StockReserved{Of: of(other), Flow: events.Orchestrated, Cents: 100}) // waits for its command
	s.send(events.Stock, one, events.TypeStockReserved,
		events.StockReserved{Of: of(one), Flow: events.Choreographed, Cents: 400})
	s.requireAnswers(events.TypePaymentTaken)
	s.requireBalance(100)
	s.send(events.Stock, one, events.TypeStockReleased,
		events.StockReleased{Of: of(one), Flow: events.Choreographed})
	s.requireAnswers(events.TypePaymentTaken, events.TypePaymentRefunded)
	s.requireBalance(500)
	require.Equal(t, http.StatusNotFound, kittest.Do(s.h, "GET", "/payments/"+other, "").Code)
}

func TestADepositThatIsSentAgainComesInOnce(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		for range 3 {
			w := kittest.Do(s.h, "POST", "/accounts/"+ada+"/deposits", `{"cents":5}`, "Idempotency-Key", "k")
			require.Equal(t, http.StatusCreated, w.Code)
			require.Contains(t, w.Body.String(), `"balance_cents":5,"deposited_cents":5`)
		}
		s.requireBalance(5)
	})
}

func TestARequestThatDoesNotSayWhetherTheAccountIsClosedChangesNothing(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := open(t, db, kittest.Kafka(t))
		s.deposit(500)
		s.setClosed(true)
		require.Equal(t, http.StatusBadRequest, kittest.Do(s.h, "PATCH", "/accounts/"+ada, `{}`).Code)
		require.Contains(t, kittest.Do(s.h, "GET", "/accounts/"+ada, "").Body.String(), `"closed":true`)
	})
}

func TestBadRequestsAreRefused(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := open(t, db, kittest.Kafka(t))
		for _, tc := range []struct {
			method, path, body string
			status             int
		}{
			{"POST", "/accounts/" + ada + "/deposits", `{"cents":-5}`, http.StatusBadRequest},
			{"POST", "/accounts/" + strings.Repeat("a", 37) + "/deposits", `{"cents":5}`, http.StatusBadRequest},
			{"POST", "/accounts/%00/deposits", `{"cents":5}`, http.StatusBadRequest},
			{"GET", "/accounts/nobody", "", http.StatusNotFound},
			{"GET", "/accounts/" + one, "", http.StatusNotFound},
			{"GET", "/accounts/%FF", "", http.StatusNotFound},
			{"PATCH", "/accounts/" + one, `{"closed":true}`, http.StatusNotFound},
			{"PATCH", "/accounts/%00", `{"closed":true}`, http.StatusNotFound},
			{"GET", "/payments/" + one, "", http.StatusNotFound},
			{"GET", "/payments/%00", "", http.StatusNotFound},
			{"PUT", "/refuse-all", `{}`, http.StatusBadRequest},
		} {
			require.Equal(t, tc.status, kittest.Do(s.h, tc.method, tc.path, tc.body).Code, tc.path)
		}
	})
}
