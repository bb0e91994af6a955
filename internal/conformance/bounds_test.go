package conformance

import (
	"bytes"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/outbox"
)

var boundScenarios = []scenario{
	{name: "no more records are in flight than MaxInFlight", run: func(w *world) { inFlight(w, 50, 20) }},
	{name: "one record at a time is enough", run: func(w *world) { inFlight(w, 1, 1) }, long: true},
	{name: "a batch may be all that is in flight", run: func(w *world) { inFlight(w, 30, 30) }},
	{name: "no more bytes are in flight than MaxInFlightBytes and a record", run: bytesInFlight},
	{name: "a record larger than MaxInFlightBytes is delivered alone", run: recordLargerThanTheBound},
}

// A sink that never acknowledges: the relay fills it up to the bound of one lane, half of
// the window, and no further.
func inFlight(w *world, maxInFlight, batch int) {
	const rows = 120
	w.cfg.MaxInFlight, w.cfg.BatchSize = maxInFlight, batch
	w.sink.hold = true
	w.commit("k", numbered("k", rows)...)
	run := w.start()
	half := max(1, maxInFlight/2)
	w.waitPublished(half)
	w.unlessWithin(150*time.Millisecond, func() bool { return w.sink.count() > half })
	require.Equal(w.t, half, w.sink.maxUnacked)
	w.sink.release()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", rows)
}

func (w *world) commitLarge(n, size int) {
	w.t.Helper()
	events := make([]outbox.Event, n)
	for i := range events {
		events[i] = outbox.Event{Topic: "orders", Key: "k", Payload: bytes.Repeat([]byte{byte('a' + i%26)}, size)}
	}
	w.commitEvents(events...)
}

func bytesInFlight(w *world) {
	const bound, size = 200 << 10, 10 << 10
	w.cfg.MaxInFlightBytes = bound
	w.sink.hold = true
	w.commitLarge(100, size)
	run := w.start()
	w.waitPublished(bound / (size + 1024) / 2) // one lane may hold half of it
	w.unlessWithin(150*time.Millisecond, func() bool { return w.sink.count() > bound/size+1 })
	require.LessOrEqual(w.t, w.sink.maxUnackedBytes, bound+size)
	require.Less(w.t, w.sink.count(), 100)
	w.sink.release()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Equal(w.t, 100, w.sink.count())
}

func recordLargerThanTheBound(w *world) {
	w.cfg.MaxInFlightBytes = 1 << 10
	w.commitLarge(5, 100<<10)
	run := w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Equal(w.t, 5, w.sink.count())
	for i, p := range w.sink.all() {
		require.Len(w.t, p.value, 100<<10)
		require.Equal(w.t, byte('a'+i), p.value[0])
	}
}
