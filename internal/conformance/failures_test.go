package conformance

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

var failureScenarios = []scenario{
	{name: "an outage of the sink loses nothing, keeps the order and repeats nothing", run: sinkOutage, long: true},
	{name: "a sink that cannot be opened for a while loses nothing", run: sinkNotOpen},
	{name: "answers that are lost repeat records, first copies in order", run: answersLost},
	{name: "a refused record halts the source by its own name, though its batch is blamed", run: rejectedWithInnocents},
	{name: "a source that was halted goes on with the refused event once the cause is mended", run: mendedRejection},
	{
		name: "a record is not taken for refused alone while others are with the sink", run: rejectedInCompany,
		writers: true,
	},
	{name: "a stop while the sink blocks returns, and loses nothing", run: stopWhileBlocked},
	{name: "a database whose connections break loses nothing and repeats nothing", run: brokenConnections},
}

var errAway = errors.New("the broker is away")

// Every seventh attempt fails, forty times; each failure ends the sink's session.
func sinkOutage(w *world) {
	attempts, failures := 0, 0
	w.sink.fail = func(*relay.Record) error {
		attempts++
		if attempts%7 == 0 && failures < 40 {
			failures++
			return errAway
		}
		return nil
	}
	run := w.start()
	for i := range 25 {
		for key := range 3 {
			name := fmt.Sprint("key", key, "-")
			w.commit(
				name, fmt.Sprint(name, 4*i+1), fmt.Sprint(name, 4*i+2), fmt.Sprint(name, 4*i+3),
				fmt.Sprint(name, 4*i+4),
			)
		}
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	for key := range 3 {
		requireOrder(w.t, w.sink.values(), fmt.Sprint("key", key, "-"), 100)
	}
	require.Equal(w.t, 300, w.sink.count())
	require.Equal(w.t, 40, failures, "the outage was not met")
}

func sinkNotOpen(w *world) {
	w.sink.onOpen = func(session int) error {
		if session <= 10 {
			return errAway
		}
		return nil
	}
	run := w.start()
	w.commit("k", numbered("k", 20)...)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 20)
}

// The sink publishes, and says that it could not.
func answersLost(w *world) {
	run := w.start()
	w.waitForRelay()
	for round := range 5 {
		w.sink.set(func(s *sink) { s.hold = true })
		before := w.sink.count()
		values := numbered("k", 20*(round+1))[20*round:]
		w.commit("k", values...)
		w.waitPublished(before + 20)
		w.sink.set(func(s *sink) { s.hold = false })
		w.sink.failHeld(errAway)
		w.waitEmpty()
	}
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.firstCopies(), "k", 100)
	require.Greater(w.t, w.sink.count(), 101, "nothing was repeated: the scenario did not happen")
}

// refuseBatch refuses a whole delivery because of one of its records.
func refuseBatch(value string) func([]*relay.Record) error {
	return func(records []*relay.Record) error {
		for _, r := range records {
			if string(r.Payload) == value {
				return relay.Rejected(errors.New("this batch is too large"))
			}
		}
		return nil
	}
}

// Hazard rejected-batch: of sixty records the sink rejects the twentieth, and blames all of
// them.
func (w *world) refuseTheTwentieth() *relay.RejectedError {
	w.t.Helper()
	w.cfg.OnRejection = relay.Halt
	w.sink.refuse = refuseBatch("k20")
	w.commit("k", numbered("k", 60)...)
	err := w.start().wait(w.t)
	var rejected *relay.RejectedError
	require.ErrorAs(w.t, err, &rejected)
	require.ErrorIs(w.t, err, relay.ErrRejected)
	return rejected
}

func rejectedWithInnocents(w *world) {
	rejected := w.refuseTheTwentieth()
	var id string
	q := w.names.Expand("SELECT event_id FROM {outbox_events} WHERE payload = " + w.bytes("k20"))
	require.NoError(w.t, w.db.DB.QueryRow(q).Scan(&id))
	require.Equal(w.t, id, rejected.EventID.String())
	require.Equal(w.t, w.number("SELECT id FROM {outbox_events} WHERE payload = "+w.bytes("k20")), rejected.ID)
	require.Equal(w.t, "orders", rejected.Topic)
	require.Equal(w.t, w.names.Plain("outbox_events"), rejected.Table)
	require.ErrorContains(w.t, rejected, "this batch is too large")

	requireOrder(w.t, w.sink.values(), "k", 19)
	require.EqualValues(w.t, 41, w.rows(), "the refused row and those behind it are kept")
	require.Empty(w.t, w.owner(), "the lease was kept")
	var hints string
	require.NoError(w.t, w.db.DB.QueryRow(w.names.Expand("SELECT hints FROM {outbox_leases}")).Scan(&hints))
	require.True(w.t, strings.Contains(hints, "halted") && strings.Contains(hints, id), hints)
}

func mendedRejection(w *world) {
	require.Error(w.t, w.refuseTheTwentieth())
	for range 2 { // started again with the cause in place, it halts again
		err := w.start().wait(w.t)
		require.ErrorIs(w.t, err, relay.ErrRejected)
	}
	w.sink.set(func(s *sink) { s.refuse = nil })
	run := w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 60)
}

// A batch was blamed, and later another one, with a late commit in it. That says nothing
// of the late one, nor of any other: each is sent alone, and found good. The second batch is
// of another topic: of one that was blamed lately a few records are sent at a time.
func rejectedInCompany(w *world) {
	var blamed atomic.Bool
	w.sink.refuse = func([]*relay.Record) error {
		if blamed.CompareAndSwap(false, true) {
			return relay.Rejected(errors.New("for a moment"))
		}
		return nil
	}
	paid := func(key, value string) outbox.Event {
		e := event(key, value)
		e.Topic = "payments"
		return e
	}
	late := w.begin()
	w.add(late, paid("late", "late"))
	w.commit("k", numbered("k", 10)...)
	run := w.start()
	w.waitEmpty()
	require.True(w.t, blamed.Load())

	w.sink.set(func(s *sink) { s.hold = true })
	var others []outbox.Event
	for _, value := range numbered("m", 10) {
		others = append(others, paid("m", value))
	}
	w.commitEvents(others...)
	w.waitPublished(20)
	require.NoError(w.t, late.Commit())
	w.unlessWithin(500*time.Millisecond, func() bool { return w.sink.count() > 20 })
	w.sink.set(func(s *sink) { s.hold = false })
	w.sink.failHeld(relay.Rejected(errors.New("one of them")))
	w.waitEmpty()
	require.NoError(w.t, run.stop(), "halted by an innocent record")
	requireAll(w.t, w.sink, []string{"late"})
	requireOrder(w.t, w.sink.firstCopies(), "m", 10)
}

// unlessWithin waits for something that must not happen, and gives it this long.
func (w *world) unlessWithin(long time.Duration, happened func() bool) {
	w.t.Helper()
	deadline := time.After(long)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

func stopWhileBlocked(w *world) {
	block := make(chan struct{})
	entered := make(chan struct{}, 1)
	w.sink.block = block
	w.sink.blocked = entered
	w.commit("k", numbered("k", 10)...)
	run := w.start()
	<-entered
	require.NoError(w.t, run.stop(), "nothing was on its way")
	require.Empty(w.t, w.owner())
	require.EqualValues(w.t, 10, w.rows())

	w.sink.set(func(s *sink) { s.block, s.blocked = nil, nil })
	run = w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 10)
}

// Every few statements of the relay lose their request or their answer. What was
// delivered stays known, so nothing is sent twice.
func brokenConnections(w *world) {
	var broken atomic.Bool
	var statements atomic.Int64
	db := faultdb.Open(w.db.DB, func(string) faultdb.Fault {
		n := statements.Add(1)
		switch {
		case !broken.Load():
		case n%7 == 0:
			return faultdb.LoseAnswer()
		case n%11 == 0:
			return faultdb.LoseRequest()
		}
		return faultdb.Fault{}
	})
	w.cfg.DB = db
	defer func() { require.NoError(w.t, db.Close()) }()
	run := w.start()
	w.waitForRelay()
	broken.Store(true)
	for i := range 60 {
		w.commit("k", fmt.Sprint("k", 2*i+1), fmt.Sprint("k", 2*i+2))
	}
	w.waitPublished(121)
	broken.Store(false)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 120)
}
