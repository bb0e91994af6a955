package stock_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a running stock service with its relay.
type shop struct {
	t     *testing.T
	kafka kit.Kafka
	h     http.Handler
}

func start(t *testing.T, db *kit.DB, kafka kit.Kafka) shop {
	t.Helper()
	s, err := stock.New(t.Context(), db, kafka, kittest.Quiet())
	require.NoError(t, err)
	kittest.Run(t, s.Run)
	kittest.Relay(t, db, kafka)
	return shop{t, kafka, s.Handler()}
}

func (s shop) deliver(sku string, quantity string) {
	s.t.Helper()
	w := kittest.Do(s.h, "POST", "/items/"+sku+"/deliveries", `{"quantity":`+quantity+`}`)
	require.Equal(s.t, http.StatusCreated, w.Code, w.Body.String())
}

func (s shop) requireItem(sku string, available, reserved, delivered int64) {
	s.t.Helper()
	w := kittest.Do(s.h, "GET", "/items/"+sku, "")
	var item stock.Item
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &item))
	require.Equal(s.t, stock.Item{SKU: sku, Available: available, Reserved: reserved, Delivered: delivered}, item)
}

// command sends a message that no other call has sent.
func (s shop) command(topic, orderID, eventType string, body any) {
	s.t.Helper()
	payload, err := json.Marshal(body)
	require.NoError(s.t, err)
	kittest.SendAs(s.t, s.kafka, uuid.NewString(), topic, orderID, eventType, payload)
}

// requireAnswers waits for the answers and compares their types.
func (s shop) requireAnswers(types ...string) []kittest.Event {
	s.t.Helper()
	var got []string
	answers := kittest.Events(s.t, s.kafka, events.Stock, len(types))
	for _, a := range answers {
		got = append(got, a.Type)
	}
	require.Equal(s.t, types, got)
	return answers
}

var one = events.Of{
	OrderID: "5a1c7c5e-0d43-4a6f-9a7e-3f2b8f6f0001", Customer: "5a1c7c5e-0d43-4a6f-9a7e-3f2b8f6f0002",
}

func reserve(items ...events.Item) events.ReserveStock {
	return events.ReserveStock{Of: one, Items: items, Cents: 500}
}

func TestAnOrderReservesAllItsItemsOrNone(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		s.deliver("pen", "5")
		s.deliver("ink", "1")

		s.command(events.StockCommands, one.OrderID, events.TypeReserveStock,
			reserve(events.Item{SKU: "pen", Quantity: 2}, events.Item{SKU: "ink", Quantity: 2}))
		var short events.StockShort
		s.requireAnswers(events.TypeStockShort)[0].Into(t, &short)
		require.Equal(t, events.StockShort{Of: one, Flow: events.Orchestrated, SKU: "ink"}, short)
		s.requireItem("pen", 5, 0, 5)

		two := events.Of{OrderID: uuid.NewString(), Customer: one.Customer}
		s.command(events.StockCommands, two.OrderID, events.TypeReserveStock, events.ReserveStock{
			// The same article twice is the sum of both.
			Of: two, Items: []events.Item{
				{SKU: "pen", Quantity: 2}, {SKU: "ink", Quantity: 1}, {SKU: "pen", Quantity: 1},
			},
		})
		kittest.Events(t, s.kafka, events.Stock, 2)
		s.requireItem("pen", 2, 3, 5)
		s.requireItem("ink", 0, 1, 1)
		require.JSONEq(t, `{"order_id":"`+two.OrderID+`","state":"reserved","items":[
			{"sku":"ink","quantity":1},{"sku":"pen","quantity":3}]}`,
			kittest.Do(s.h, "GET", "/reservations/"+two.OrderID, "").Body.String())
	})
}

func TestACommandThatIsSentAgainChangesNothingAndGetsTheSameAnswer(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		s.deliver("pen", "5")
		pens := reserve(events.Item{SKU: "pen", Quantity: 2})
		s.command(events.StockCommands, one.OrderID, events.TypeReserveStock, pens)
		s.command(events.StockCommands, one.OrderID, events.TypeReserveStock, pens)
		s.requireAnswers(events.TypeStockReserved, events.TypeStockReserved)
		s.requireItem("pen", 3, 2, 5)

		for range 2 {
			s.command(events.StockCommands, one.OrderID, events.TypeReleaseStock, events.ReleaseStock{Of: one})
		}
		s.requireAnswers(events.TypeStockReserved, events.TypeStockReserved,
			events.TypeStockReleased, events.TypeStockReleased)
		s.requireItem("pen", 5, 0, 5)
	})
}

func TestACopyOfAMessageHasNoAnswer(t *testing.T) {
	s := start(t, kittest.Open(t, kittest.SQLite(t)), kittest.Kafka(t))
	s.deliver("pen", "5")
	pens := reserve(events.Item{SKU: "pen", Quantity: 2})
	for range 3 { // the same id, as after a crash of the relay
		kittest.Send(t, s.kafka, events.StockCommands, one.OrderID, events.TypeReserveStock, pens)
	}
	s.command(events.StockCommands, one.OrderID, events.TypeReleaseStock, events.ReleaseStock{Of: one})
	s.requireAnswers(events.TypeStockReserved, events.TypeStockReleased)
}

func TestAReleaseThatOvertakesItsReservationWins(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s := start(t, db, kittest.Kafka(t))
		s.deliver("pen", "5")
		s.command(events.StockCommands, one.OrderID, events.TypeReleaseStock, events.ReleaseStock{Of: one})
		s.command(events.StockCommands, one.OrderID, events.TypeReserveStock,
			reserve(events.Item{SKU: "pen", Quantity: 2}))
		s.requireAnswers(events.TypeStockReleased, events.TypeStockShort)
		s.requireItem("pen", 5, 0, 5)
	})
}

func TestInAChoreographedOrderStockActsByItself(t *testing.T) {
	for trigger, undo := range map[string]func(s shop){
		"payment refused": func(s shop) {
			s.command(events.Payments, one.OrderID, events.TypePaymentRefused,
				events.PaymentRefused{Of: one, Flow: events.Choreographed})
		},
		"cancelled by the customer": func(s shop) {
			s.command(events.Orders, one.OrderID, events.TypeOrderCancelRequested,
				events.OrderCancelRequested{Of: one, Flow: events.Choreographed})
		},
	} {
		t.Run(trigger, func(t *testing.T) {
			t.Parallel()
			s := start(t, kittest.Open(t, kittest.SQLite(t)), kittest.Kafka(t))
			s.deliver("pen", "5")
			s.command(events.Orders, one.OrderID, events.TypeOrderPlaced, events.OrderPlaced{
				Of: one, Flow: events.Choreographed, Cents: 700, Items: []events.Item{{SKU: "pen", Quantity: 1}},
			})
			var reserved events.StockReserved
			s.requireAnswers(events.TypeStockReserved)[0].Into(t, &reserved)
			require.Equal(t, events.StockReserved{Of: one, Flow: events.Choreographed, Cents: 700}, reserved)
			s.requireItem("pen", 4, 1, 5)

			undo(s)
			s.requireAnswers(events.TypeStockReserved, events.TypeStockReleased)
			s.requireItem("pen", 5, 0, 5)
		})
	}
}

func TestAnOrchestratedOrderWaitsForItsCommand(t *testing.T) {
	s := start(t, kittest.Open(t, kittest.PostgreSQL(t)), kittest.RealKafka(t))
	s.deliver("pen", "5")
	s.command(events.Orders, one.OrderID, events.TypeOrderPlaced, events.OrderPlaced{
		Of: one, Flow: events.Orchestrated, Items: []events.Item{{SKU: "pen", Quantity: 1}},
	})
	s.command(events.Payments, one.OrderID, events.TypePaymentRefused,
		events.PaymentRefused{Of: one, Flow: events.Orchestrated})
	s.command(events.StockCommands, one.OrderID, events.TypeReserveStock, reserve(events.Item{SKU: "pen", Quantity: 2}))
	s.requireAnswers(events.TypeStockReserved)
	s.requireItem("pen", 3, 2, 5)
}

func TestAQuantityBelowOneIsShort(t *testing.T) {
	s := start(t, kittest.Open(t, kittest.SQLite(t)), kittest.Kafka(t))
	s.deliver("pen", "5")
	negative := reserve(events.Item{SKU: "pen", Quantity: -2})
	s.command(events.StockCommands, one.OrderID, events.TypeReserveStock, negative)
	s.requireAnswers(events.TypeStockShort)
	s.requireItem("pen", 5, 0, 5)
}

func TestBadRequestsAreRefused(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		service, err := stock.New(t.Context(), db, kittest.Kafka(t), kittest.Quiet())
		require.NoError(t, err)
		h := service.Handler()
		for path, body := range map[string]string{
			"/items/pen/deliveries": `{"quantity":0}`, "/items/ink/deliveries": `{"quantity":9000000000}`,
			"/items/pen%20/deliveries": `{"quantity":1}`, "/items/%00/deliveries": `{"quantity":1}`,
			"/items/%FF/deliveries": `{"quantity":1}`,
		} {
			require.Equal(t, http.StatusBadRequest, kittest.Do(h, "POST", path, body).Code, path)
		}
		for _, path := range []string{
			"/items/pen", "/items/%00", "/reservations/order-9", "/reservations/%00", "/reservations/" + one.OrderID,
		} {
			require.Equal(t, http.StatusNotFound, kittest.Do(h, "GET", path, "").Code, path)
		}
	})
}
