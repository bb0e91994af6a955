package conformance

import (
	"fmt"

	"github.com/stretchr/testify/require"
)

var restoreScenarios = []scenario{
	{name: "ids go back while the relay is caught up", run: idsGoBackCaughtUp, long: true},
	{name: "ids go back while a few rows are in flight", run: func(w *world) { idsGoBackInFlight(w, 10) }},
	{
		name: "ids go back while a run of rows is in flight", run: func(w *world) { idsGoBackInFlight(w, 1200) },
		long: true,
	},
	{name: "ids go back past rows that are in flight", run: idsGoBackPast},
	{name: "ids go back and no relay runs", run: idsGoBackBetween},
	{name: "rows in flight that somebody deletes are not missed", run: deletedByHand, long: true},
}

func idsGoBackCaughtUp(w *world) {
	run := w.start()
	w.commit("k", numbered("old", 100)...)
	w.waitEmpty()
	w.restartIDs()
	for i := range 3 {
		w.commit("k", numbered(fmt.Sprint("new", i, "-"), 15)...)
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "old", 100)
	for i := range 3 {
		requireOrder(w.t, w.sink.values(), fmt.Sprint("new", i, "-"), 15)
	}
}

// Hazard reused-ids: the sink has the old rows; the new ones carry their ids. The deletes of
// the old must not take them.
func idsGoBackInFlight(w *world, rows int) {
	w.sink.hold = true
	run := w.start()
	w.commit("k", numbered("old", rows)...)
	w.waitPublished(rows)
	w.restartIDs()
	w.commit("k", numbered("new", rows)...)
	w.sink.release()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "old", rows)
	requireOrder(w.t, w.sink.firstCopies(), "new", rows)
}

// The new ids reach beyond the old ones.
func idsGoBackPast(w *world) {
	w.sink.hold = true
	run := w.start()
	w.commit("k", numbered("old", 100)...)
	w.waitPublished(100)
	w.restartIDs()
	w.commit("k", numbered("new", 250)...)
	w.sink.release()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireAll(w.t, w.sink, numbered("new", 250))
}

func idsGoBackBetween(w *world) {
	run := w.start()
	w.commit("k", numbered("old", 50)...)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	w.restartIDs()
	w.commit("k", numbered("new", 20)...)
	run = w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "new", 20)
}

// Of the rows that the sink has, nine in ten are deleted by hand, the last of a run
// among them: the others are deleted all the same, and not sent again.
func deletedByHand(w *world) {
	w.sink.hold = true
	run := w.start()
	const rows = 1500
	w.commit("k", numbered("k", rows)...)
	w.waitPublished(rows)
	w.exec("DELETE FROM {outbox_events} WHERE id % 10 <> 0")
	w.sink.release()
	w.waitEmpty()
	w.commit("k", fmt.Sprint("k", rows+1))
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", rows+1)
}
