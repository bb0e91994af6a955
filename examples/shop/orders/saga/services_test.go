package saga

import (
	"database/sql"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world has one order, its saga, and in place of the other services what they promise: a command that comes again gets
// the same answer, and after the compensation the way forward is refused.
type world struct {
	t      *testing.T
	db     *kit.DB
	ob     *outbox.Outbox
	orders *order.Repository
	saga   *Saga

	stock, payment string // "", reserved, released; "", taken, refused, refunded
	sent           map[string]int
	queue          []Message

	// What goes wrong.
	noStock, noMoney, refundFails bool
	silent                        map[string]int // commands that are not answered: how many times; -1: always
	twice                         bool           // every message is delivered twice
	shuffle                       *rand.Rand     // in which order messages are delivered; nil: as they were sent
}

var of = events.Of{OrderID: "o1", Customer: "c1"}

func newWorld(t *testing.T, db *kit.DB) *world {
	t.Helper()
	require.NoError(t, db.Exec(t.Context(), eventstore.Tables...))
	require.NoError(t, db.Exec(t.Context(), Tables...))
	ob, err := outbox.New(db.Dialect)
	require.NoError(t, err)
	w := &world{t: t, db: db, ob: ob, sent: map[string]int{}, silent: map[string]int{}}
	w.orders = &order.Repository{Store: eventstore.New(db, ob, events.Orders)}
	w.saga = &Saga{
		DB: db, Outbox: ob, Orders: w.orders, Topic: func(name string) string { return name }, Timeout: time.Hour,
	}
	return w
}

// freshWorld is a world in a database in which there was another one.
func freshWorld(t *testing.T, db *kit.DB) *world {
	t.Helper()
	w := newWorld(t, db)
	for _, table := range []string{
		"order_streams", "order_events", "order_snapshots", "order_sagas", "outbox_events", "outbox_scheduled",
	} {
		require.NoError(t, db.Exec(t.Context(), "DELETE FROM "+table))
	}
	return w
}

func (w *world) tx(f func(tx *sql.Tx) error) {
	w.t.Helper()
	require.NoError(w.t, w.db.Tx(w.t.Context(), f))
}

// place places the order, and lets everything happen that follows by itself.
func (w *world) place(flow events.Flow) *world {
	w.t.Helper()
	w.tx(func(tx *sql.Tx) error {
		o, err := w.orders.Change(w.t.Context(), tx, of.OrderID, 0, inbox.Message{},
			func(o order.Order) ([]eventstore.Event, error) {
				return order.Place(o, events.OrderPlaced{Of: of, Flow: flow, Cents: 500})
			})
		if err != nil || flow == events.Choreographed {
			return err
		}
		return w.saga.Start(w.t.Context(), tx, o, inbox.Message{})
	})
	w.run()
	return w
}

// decide is a request, and everything that follows by itself.
func (w *world) decide(kind string, decide order.Decision) {
	w.t.Helper()
	w.request(kind, decide)
	w.run()
}

// request is the customer's wish to cancel, or a repair.
func (w *world) request(kind string, decide order.Decision) {
	w.t.Helper()
	w.tx(func(tx *sql.Tx) error {
		if _, err := w.orders.Change(w.t.Context(), tx, of.OrderID, 0, inbox.Message{}, decide); err != nil {
			return err
		}
		return w.saga.Handle(w.t.Context(), tx, Message{Of: of, Type: kind})
	})
}

func (w *world) order() order.Order {
	w.t.Helper()
	o, err := w.orders.Load(w.t.Context(), w.db.SQL, of.OrderID)
	require.NoError(w.t, err)
	return o
}

// atRest tells what the stream's head says: whether the order may move to another database.
func (w *world) atRest() bool {
	w.t.Helper()
	var atRest int
	require.NoError(w.t, w.db.SQL.QueryRowContext(w.t.Context(), "SELECT at_rest FROM order_streams").Scan(&atRest))
	return atRest == 1
}

// run delivers until nothing is under way. Time passes only when nothing else happens.
func (w *world) run() {
	w.t.Helper()
	for w.relay() || w.timePasses() {
		for len(w.queue) > 0 {
			i := 0
			if w.shuffle != nil {
				i = w.shuffle.IntN(len(w.queue))
			}
			m := w.queue[i]
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			w.deliver(m)
			w.relay()
		}
	}
}

func (w *world) deliver(m Message) {
	w.t.Helper()
	w.tx(func(tx *sql.Tx) error {
		if err := w.saga.Handle(w.t.Context(), tx, m); err != nil {
			return err
		}
		return React(w.t.Context(), tx, w.orders, m)
	})
}

// relay takes what is in the outbox to the services, and reports whether there was anything.
func (w *world) relay() bool {
	w.t.Helper()
	waiting := outboxtest.Events(w.t, w.db.SQL, w.ob)
	_, err := w.db.SQL.ExecContext(w.t.Context(), "DELETE FROM outbox_events")
	require.NoError(w.t, err)
	for _, e := range waiting {
		w.sent[e.Type]++
		if w.silent[e.Type] != 0 {
			w.silent[e.Type]--
			continue
		}
		w.serve(e.Type, e.Payload)
	}
	return len(waiting) > 0
}

func (w *world) timePasses() bool {
	w.t.Helper()
	timers := outboxtest.Scheduled(w.t, w.db.SQL, w.ob)
	_, err := w.db.SQL.ExecContext(w.t.Context(), "DELETE FROM outbox_scheduled")
	require.NoError(w.t, err)
	for _, e := range timers {
		var body events.StepTimedOut
		require.NoError(w.t, json.Unmarshal(e.Payload, &body))
		require.NotEmpty(w.t, body.Step)
		require.Positive(w.t, body.Attempt)
		w.answer(Message{Type: e.Type, Cause: inbox.Message{ID: e.ID.String()}})
	}
	return len(timers) > 0
}

func (w *world) answer(m Message) {
	m.Of = of
	w.queue = append(w.queue, m)
	if w.twice {
		w.queue = append(w.queue, m)
	}
}

// serve is stock and payments: commands above, and below the events that they react to in a choreographed flow.
func (w *world) serve(kind string, payload []byte) {
	w.t.Helper()
	var body struct{ Flow events.Flow }
	require.NoError(w.t, json.Unmarshal(payload, &body))
	switch kind {
	case events.TypeReserveStock:
		w.reserve()
	case events.TypeReleaseStock:
		w.release()
	case events.TypeTakePayment:
		w.take()
	case events.TypeRefundPayment:
		w.refund()
	}
	if body.Flow != events.Choreographed {
		return
	}
	switch kind {
	case events.TypeOrderPlaced:
		if w.reserve() && !w.take() {
			w.release()
			w.refund()
		}
	case events.TypeOrderCancelRequested:
		w.release()
		w.refund()
	}
}

func (w *world) reserve() bool {
	if w.noStock || w.stock == "released" {
		w.answer(Message{Type: events.TypeStockShort})
		return false
	}
	w.stock = "reserved"
	w.answer(Message{Type: events.TypeStockReserved})
	return true
}

func (w *world) release() {
	w.stock = "released"
	w.answer(Message{Type: events.TypeStockReleased})
}

func (w *world) take() bool {
	if w.noMoney || w.payment == "refunded" {
		w.answer(Message{Type: events.TypePaymentRefused, Reason: "too little money"})
		return false
	}
	w.payment = "taken"
	w.answer(Message{Type: events.TypePaymentTaken})
	return true
}

func (w *world) refund() {
	if w.refundFails {
		w.answer(Message{Type: events.TypeRefundFailed, Reason: "the account is closed"})
		return
	}
	w.payment = "refunded"
	w.answer(Message{Type: events.TypePaymentRefunded})
}

// requireConfirmed finds the order paid and reserved.
func (w *world) requireConfirmed() {
	w.t.Helper()
	require.Equal(w.t, order.Confirmed, w.order().Status)
	require.Equal(w.t, "reserved taken", w.stock+" "+w.payment)
}

// requireUndone finds the order cancelled, and that nothing is reserved or paid.
func (w *world) requireUndone(reason string) {
	w.t.Helper()
	require.Equal(w.t, order.Cancelled, w.order().Status)
	require.Equal(w.t, reason, w.order().Reason)
	require.NotEqual(w.t, "reserved", w.stock)
	require.NotEqual(w.t, "taken", w.payment)
}

// without returns the machine with another step after an answer, or, for "", after silence.
func without(step Step, answer string, to Step) map[Step]rule {
	naive := maps.Clone(machine)
	r := naive[step]
	if r.on = maps.Clone(r.on); r.on == nil {
		r.on = map[string]Step{}
	}
	if answer == "" {
		r.silent = to
	} else {
		r.on[answer] = to
	}
	naive[step] = r
	return naive
}

func eachFlow(t *testing.T, fn func(w *world, flow events.Flow)) {
	t.Helper()
	for _, flow := range []events.Flow{events.Orchestrated, events.Choreographed} {
		t.Run(string(flow), func(t *testing.T) {
			kittest.Each(t, func(t *testing.T, db *kit.DB) { fn(newWorld(t, db), flow) })
		})
	}
}
