package conformance

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

var leaseScenarios = []scenario{
	{
		name: "a stolen lease: the old owner deletes nothing and ends its turn",
		run:  func(w *world) { stolen(w, "owner = 'thief', epoch = epoch + 1") },
	},
	{name: "an epoch fences an owner of the same name", run: func(w *world) { stolen(w, "epoch = epoch + 1") }},
	{name: "an idle owner notices at its renewal that the lease is stolen", run: stolenWhileIdle},
	{name: "a clean stop drains and releases", run: cleanStop},
	{name: "a stop past its deadline keeps the lease", run: stopPastDeadline},
	{name: "two relays on one table: one delivers, and the other takes over", run: twoRelays},
	{name: "a relay that was stopped may run again", run: runAgain},
}

// steal changes the lease row behind the owner's back, and keeps it from being claimed.
func (w *world) steal(set string) {
	w.t.Helper()
	w.exec("UPDATE {outbox_leases} SET " + set)
}

// giveBack lets the next relay claim at once.
func (w *world) giveBack() { w.exec("UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL") }

// The sink has the rows when the lease goes to somebody else; then it acknowledges.
func stolen(w *world, set string) {
	w.sink.hold = true
	run := w.start()
	w.commit("k", numbered("k", 200)...)
	w.waitPublished(200)
	w.steal(set)
	w.sink.release()
	eventually(w.t, "the turn has ended", w.sink.ended)
	w.commit("k", "k201")
	if err := run.stop(); err != nil { // the stop came before the term had ended: it tells of the rows that are left
		require.ErrorIs(w.t, err, relay.ErrNotDrained)
	}
	require.EqualValues(w.t, 201, w.rows(), "rows that the new owner answers for")
	require.Equal(w.t, 200, w.sink.count(), "published without the lease")
	require.Equal(w.t, 1, w.sink.sessions)

	// The next owner sends them all; only the old one's copies repeat.
	w.giveBack()
	run = w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Equal(w.t, 200+201, w.sink.count())
	requireOrder(w.t, w.sink.firstCopies(), "k", 201)
}

func stolenWhileIdle(w *world) {
	w.cfg.LeaseTTL = 3 * time.Second
	run := w.start()
	w.waitForRelay()
	w.waitEmpty()
	w.steal("owner = 'thief', epoch = epoch + 1, expires_at = " + w.inAMinute())
	// The thief's lease is no longer than ours by the hints: make it so.
	w.exec("UPDATE {outbox_leases} SET hints = '{\"ttl_us\": 60000000}'")
	eventually(w.t, "the turn has ended", w.sink.ended)
	w.commit("k", "k1")
	require.NoError(w.t, run.stop())
	require.EqualValues(w.t, 1, w.rows())
	require.Equal(w.t, 1, w.sink.count())
	require.Equal(w.t, "thief", w.owner())
}

// inAMinute is a time in the future, as the lease row keeps it.
func (w *world) inAMinute() string {
	switch {
	case w.postgres():
		return "clock_timestamp() + interval '1 minute'"
	case w.mysql():
		return "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE"
	}
	return "strftime('%Y-%m-%dT%H:%M:%f', 'now', '1 minute') || '000Z'"
}

// Acknowledgements come while the relay is being stopped.
func cleanStop(w *world) {
	w.cfg.LeaseTTL = 10 * time.Minute // nobody gets it by waiting
	w.sink.hold = true
	w.commit("k", numbered("k", 300)...)
	run := w.start()
	w.waitPublished(300)
	run.cancel()
	w.sink.release()
	require.NoError(w.t, run.stop())
	require.Zero(w.t, w.rows(), "delivered and not deleted")
	require.Empty(w.t, w.owner(), "the lease was kept")

	next := &sink{}
	w.commit("k", "k301")
	begun := time.Now()
	run = w.startTo(next)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Less(w.t, time.Since(begun), patience, "the lease was waited for")
	require.Equal(w.t, []string{"k301"}, next.values())
	require.Equal(w.t, 300, w.sink.count())
}

func stopPastDeadline(w *world) {
	w.cfg.DrainTimeout = 50 * time.Millisecond
	w.sink.hold = true
	w.commit("k", numbered("k", 10)...)
	run := w.start()
	w.waitPublished(10)
	err := run.stop()
	require.ErrorIs(w.t, err, relay.ErrNotDrained)
	require.ErrorContains(w.t, err, "10 records")
	require.EqualValues(w.t, 10, w.rows())
	require.NotEmpty(w.t, w.owner(), "the lease was released with records on their way")

	// While it lasts, nobody else gets it.
	next := &sink{}
	run = w.startTo(next)
	require.NoError(w.t, run.stop())
	require.Zero(w.t, next.count())
	require.NotEmpty(w.t, w.owner())

	w.giveBack() // or waited for: the lease has run out
	run = w.startTo(next)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, next.values(), "k", 10)
}

func twoRelays(w *world) {
	w.cfg.LeaseTTL = 4 * time.Second
	first, second := &sink{}, &sink{}
	runs := map[*sink]*running{first: w.startTo(first), second: w.startTo(second)}
	w.commit("k", numbered("k", 100)...)
	w.waitEmpty()
	owner, waiting := first, second
	if second.count() > 0 {
		owner, waiting = second, first
	}
	require.Equal(w.t, 100, owner.count())
	require.Zero(w.t, waiting.count(), "both deliver")
	require.Zero(w.t, waiting.sessions)

	require.NoError(w.t, runs[owner].stop())
	begun := time.Now()
	w.commit("k", "k101")
	w.waitEmpty()
	require.Less(w.t, time.Since(begun), 2*w.cfg.LeaseTTL, "the released lease was not taken")
	require.Equal(w.t, []string{"k101"}, waiting.values())
	require.NoError(w.t, runs[waiting].stop())
	require.Equal(w.t, 100, owner.count())
}

func runAgain(w *world) {
	for i := range 5 {
		run := w.start()
		w.commit("k", numbered("k", 10)...)
		w.waitPublished(10 * (i + 1))
		require.NoError(w.t, run.stop())
		require.Zero(w.t, w.rows())
		require.Empty(w.t, w.owner())
	}
	require.Equal(w.t, 50, w.sink.count())
}
