package saga

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

func TestAnOrderIsReservedAndPaid(t *testing.T) {
	eachFlow(t, func(w *world, flow events.Flow) {
		w.place(flow).requireConfirmed()
	})
}

func TestAnOrderWithTooLittleStockIsCancelled(t *testing.T) {
	eachFlow(t, func(w *world, flow events.Flow) {
		w.noStock = true
		w.place(flow).requireUndone(events.ReasonStockShort)
	})
}

func TestWhenThePaymentIsRefusedTheStockIsReleased(t *testing.T) {
	eachFlow(t, func(w *world, flow events.Flow) {
		w.noMoney = true
		w.place(flow).requireUndone(events.ReasonPaymentRefused)
		require.Equal(w.t, "released", w.stock)
	})
}

func TestWithoutTheCompensationTheStockStaysReserved(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.saga.machine = without(Paying, events.TypePaymentRefused, Undone)
		w.noMoney = true
		w.place(events.Orchestrated)
		require.Equal(t, order.Cancelled, w.order().Status)
		require.Equal(t, "reserved", w.stock, "of an order that is cancelled")
	})
}

func TestAConfirmedOrderThatTheCustomerCancelsGetsItsMoneyBack(t *testing.T) {
	eachFlow(t, func(w *world, flow events.Flow) {
		w.place(flow).requireConfirmed()
		w.decide(events.TypeOrderCancelRequested, order.RequestCancel)
		w.requireUndone(events.ReasonCustomer)
		require.Equal(w.t, "released refunded", w.stock+" "+w.payment)
	})
}

func TestACommandIsSentAgainBeforeTheOrderIsGivenUp(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.silent[events.TypeTakePayment] = Attempts - 1
		w.place(events.Orchestrated).requireConfirmed()
		require.Equal(t, Attempts, w.sent[events.TypeTakePayment])
	})
}

func TestAnOrderWhosePaymentIsNeverAnsweredIsUndone(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.silent[events.TypeTakePayment] = -1
		w.payment = "taken" // it was, and the answers got lost
		w.place(events.Orchestrated).requireUndone(events.ReasonTimeout)
		require.Equal(t, Attempts, w.sent[events.TypeTakePayment])
		require.Equal(t, "refunded", w.payment)
	})
}

func TestWithoutTheRefundAfterSilenceACancelledOrderStaysPaid(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.saga.machine = without(Paying, "", Releasing)
		w.silent[events.TypeTakePayment] = -1
		w.payment = "taken"
		w.place(events.Orchestrated)
		require.Equal(t, order.Cancelled, w.order().Status)
		require.Equal(t, "taken", w.payment, "by an order that is cancelled")
	})
}

func TestWhenPaymentsIsDeadTheOrderIsStuckUntilItIsRepaired(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.silent[events.TypeTakePayment], w.silent[events.TypeRefundPayment] = -1, -1
		w.place(events.Orchestrated)
		require.Equal(t, order.Stuck, w.order().Status)
		require.Equal(t, "no answer after 3 attempts", w.order().Reason)

		w.silent = map[string]int{} // it lives again
		w.decide(events.TypeOrderRepaired, order.Repair)
		w.requireUndone(events.ReasonTimeout)
	})
}

func TestACompensationThatFailsForGoodIsStuckWithItsReasonAndCanBeRepaired(t *testing.T) {
	eachFlow(t, func(w *world, flow events.Flow) {
		w.place(flow)
		w.refundFails = true
		w.decide(events.TypeOrderCancelRequested, order.RequestCancel)
		require.Equal(w.t, order.Stuck, w.order().Status)
		require.Equal(w.t, "the account is closed", w.order().Reason)
		require.Equal(w.t, "taken", w.payment)

		w.decide(events.TypeOrderRepaired, order.Repair)
		require.Equal(w.t, order.Stuck, w.order().Status, "the cause is still there")

		w.refundFails = false
		w.decide(events.TypeOrderRepaired, order.Repair)
		w.requireUndone(events.ReasonCustomer)
	})
}

func TestCopiesAndAnyOrderOfTheAnswersEndTheSame(t *testing.T) {
	eachFlow(t, func(first *world, flow events.Flow) {
		db := first.db
		for seed := range uint64(12) {
			w := freshWorld(first.t, db)
			w.twice, w.shuffle = true, rand.New(rand.NewPCG(seed, 0))
			w.noMoney, w.noStock = seed%3 == 1, seed%3 == 2
			w.place(flow)
			switch seed % 3 {
			case 0:
				w.requireConfirmed()
				w.decide(events.TypeOrderCancelRequested, order.RequestCancel)
				w.requireUndone(events.ReasonCustomer)
			case 1:
				w.requireUndone(events.ReasonPaymentRefused)
			case 2:
				w.requireUndone(events.ReasonStockShort)
			}
		}
	})
}

// A naive saga does what an answer asks for, wherever it stands.
func TestWithoutTheStepALateCopyTakesMoneyForACancelledOrder(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.place(events.Orchestrated)
		w.decide(events.TypeOrderCancelRequested, order.RequestCancel)
		w.requireUndone(events.ReasonCustomer)
		w.answer(Message{Type: events.TypeStockReserved}) // a copy, hours late
		w.deliver(w.queue[0])
		require.False(t, w.relay(), "nothing is sent")

		w.saga.machine = without(Undone, events.TypeStockReserved, Paying)
		w.deliver(w.queue[0])
		w.relay()
		require.Equal(t, 2, w.sent[events.TypeTakePayment], "once more, for an order that is cancelled")
	})
}

func TestATimeoutOfAnEarlierAttemptChangesNothing(t *testing.T) {
	r := row{Step: Paying, Attempt: 2, Timer: "of this attempt"}
	for _, timer := range []string{"of the attempt before", "of another step", ""} {
		m := Message{Type: events.TypeStepTimedOut, Cause: inbox.Message{ID: timer}}
		require.False(t, r.next(machine, m), timer)
	}
	m := Message{Type: events.TypeStepTimedOut, Cause: inbox.Message{ID: "of this attempt"}}
	require.True(t, r.next(machine, m))
	require.Equal(t, row{Step: Paying, Attempt: 3, Timer: "of this attempt"}, r)
}

// The first timer of the first refund is on its way when its answer comes. It arrives after the repair, during the
// first attempt of the second refund.
func TestALateTimerOfAnEarlierRoundChangesNothing(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.place(events.Orchestrated)
		w.refundFails = true
		w.request(events.TypeOrderCancelRequested, order.RequestCancel)
		late := outboxtest.Scheduled(t, db.SQL, w.ob)
		require.Len(t, late, 1)
		w.run()
		require.Equal(t, order.Stuck, w.order().Status)

		w.refundFails = false
		w.request(events.TypeOrderRepaired, order.Repair)
		w.deliver(Message{Of: of, Type: events.TypeStepTimedOut, Cause: inbox.Message{ID: late[0].ID.String()}})
		w.run()
		w.requireUndone(events.ReasonCustomer)
		require.Equal(t, 2, w.sent[events.TypeRefundPayment], "once in each round")
	})
}

func TestAStuckOrderGoesOnWhenTheAnswerComesAfterAll(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		for _, command := range []string{events.TypeRefundPayment, events.TypeReleaseStock} {
			w := freshWorld(t, db)
			w.place(events.Orchestrated)
			w.silent[command] = Attempts
			w.decide(events.TypeOrderCancelRequested, order.RequestCancel)
			require.Equal(t, order.Stuck, w.order().Status)
			require.True(t, w.atRest())

			w.serve(command, []byte("{}")) // it was only slow
			w.deliver(w.queue[0])
			require.Equal(t, command == events.TypeReleaseStock, w.atRest(),
				"after a refund the stock is still to be released: the order must not move to another database")
			w.run()
			w.requireUndone(events.ReasonCustomer)
			require.True(t, w.atRest())
		}
	})
}

// The refusal is known before stock has released. Whoever sees the order cancelled finds nothing reserved.
func TestAChoreographedOrderIsCancelledWhenNothingIsLeft(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		w := newWorld(t, db)
		w.silent[events.TypeOrderPlaced] = 1 // the services say nothing by themselves here
		w.place(events.Choreographed)
		for _, news := range []string{events.TypeStockReserved, events.TypePaymentRefused, events.TypeStockReleased} {
			w.deliver(Message{Of: of, Type: news})
			require.Equal(t, order.Placed, w.order().Status, "after %s", news)
		}
		w.deliver(Message{Of: of, Type: events.TypePaymentRefunded}) // of nothing
		w.requireUndone(events.ReasonPaymentRefused)
	})
}

func TestEveryStepLeadsToStepsThatAreThere(t *testing.T) {
	for step, r := range machine {
		for answer, to := range r.on {
			require.Contains(t, machine, to, "%s on %s", step, answer)
		}
		require.Equal(t, r.send != "", r.silent != "", "%s: who sends has to know what silence means", step)
	}
}
