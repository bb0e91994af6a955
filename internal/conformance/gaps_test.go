package conformance

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/outbox"
)

var gapScenarios = []scenario{
	{name: "rolled back events are never sent, the others all", run: rolledBack},
	{name: "five thousand ids were rolled back before a live one", run: fiveThousandBeforeALiveOne, long: true},
	{name: "every second id of ten thousand was rolled back", run: everySecond, long: true},
	{name: "late commits lie among ten thousand scattered gaps", run: lateAmongScattered, writers: true, long: true},
	{name: "a relay that starts late keeps the place of an open writer", run: startedLate, writers: true},
	{name: "a delete does not span an id that was not acknowledged", run: deleteSpansNothing, writers: true},
}

func rolledBack(w *world) {
	run := w.start()
	for i := range 150 {
		tx := w.begin()
		if i%3 == 2 {
			w.add(tx, event("k", fmt.Sprint("k", i/3+1)))
			require.NoError(w.t, tx.Commit())
			continue
		}
		w.add(tx, event("k", "rolled back"))
		require.NoError(w.t, tx.Rollback())
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 50)
	require.Equal(w.t, 50, w.sink.count())
}

// rollBack takes n ids, in statements of many rows.
func (w *world) rollBack(n int) {
	w.t.Helper()
	events := make([]outbox.Event, n)
	for i := range events {
		events[i] = event("gone", "rolled back")
	}
	tx := w.begin()
	w.add(tx, events...)
	require.NoError(w.t, tx.Rollback())
}

// Five thousand ids before one live event, by one transaction and by fifty; the relay
// has seen the id before them, and looks for the others.
func fiveThousandBeforeALiveOne(w *world) {
	run := w.start()
	w.commit("k", "k1")
	w.waitPublished(1)
	w.rollBack(w.many(5000))
	w.commit("k", "k2")
	w.waitPublished(2)
	for i := range 50 {
		w.rollBack(w.many(100))
		if i%10 == 9 {
			w.commit("k", fmt.Sprint("k", 3+i/10))
		}
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 7)
	require.Equal(w.t, 7, w.sink.count())
}

// many is n, and less on SQLite, which writes very slowly under the race detector.
func (w *world) many(n int) int {
	if w.sqlite() {
		return n / 5
	}
	return n
}

// scatter commits n events of which every second was deleted in the same transaction:
// to a reader that is n/2 rolled back ids, each by itself. It returns the values left.
func (w *world) scatter(key string, n int) (left []string) {
	w.t.Helper()
	tx := w.begin()
	events := make([]outbox.Event, n)
	for i := range events {
		value := "gone"
		if i%2 == 1 {
			value = fmt.Sprint(key, i/2+1)
			left = append(left, value)
		}
		events[i] = event(key, value)
	}
	w.add(tx, events...)
	remove := "DELETE FROM {outbox_events} WHERE id IN (%s)"
	if w.mysql() { // it locks whatever it looks at, and would wait for a scenario's writers
		remove = "DELETE e FROM {outbox_events} AS e FORCE INDEX (PRIMARY) WHERE id IN (%s)"
	}
	for list := range slices.Chunk(w.idsOf(tx, "gone"), 500) {
		_, err := tx.Exec(w.names.Expand(fmt.Sprintf(remove, strings.Join(list, ", "))))
		require.NoError(w.t, err)
	}
	require.NoError(w.t, tx.Commit())
	return left
}

func (w *world) idsOf(tx *sql.Tx, value string) (ids []string) {
	w.t.Helper()
	rows, err := tx.Query(w.names.Expand("SELECT id FROM {outbox_events} WHERE payload = " + w.bytes(value)))
	require.NoError(w.t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		require.NoError(w.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(w.t, rows.Err())
	return ids
}

// bytes is a literal of the payload column's type.
func (w *world) bytes(s string) string {
	return map[bool]string{true: fmt.Sprintf(`'\x%x'::bytea`, s), false: fmt.Sprintf("x'%x'", s)}[w.postgres()]
}

// More gaps than one statement names, before and behind live rows; then all is deleted
// by a list of ids that is longer than any statement's parameters.
func everySecond(w *world) {
	w.sink.hold = true
	run := w.start()
	w.waitForRelay()
	left := w.scatter("k", w.many(10_000))
	w.waitPublished(1 + len(left))
	more := w.scatter("m", w.many(2_000))
	w.waitPublished(1 + len(left) + len(more))
	w.sink.release()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", len(left))
	requireOrder(w.t, w.sink.values(), "m", len(more))
	require.Equal(w.t, 1+len(left)+len(more), w.sink.count(), "duplicates")
}

// Writers with ids before, between and behind the gaps stay open while the relay has
// to put its gaps together; each then commits right before the next of its key.
func lateAmongScattered(w *world) {
	run := w.start()
	w.waitForRelay()
	late := 0
	var open []*sql.Tx
	var mine []string
	for range 3 {
		tx := w.begin()
		key := fmt.Sprint("late", late, "-")
		w.aggregate(key)
		w.lock(tx, key)
		w.add(tx, event(key, key+"1"))
		open, mine, late = append(open, tx), append(mine, key), late+1
		w.scatter(fmt.Sprint("scattered", late, "-"), 3_000)
	}
	var followers []chan error
	for _, key := range mine {
		followers = append(followers, w.next(key, key+"2"))
	}
	w.waitPublished(1 + 3*1_500)
	w.othersFor(20, 600*time.Millisecond)
	for i := range open {
		require.NoError(w.t, open[i].Commit())
		require.NoError(w.t, <-followers[i])
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	for i, key := range mine {
		requireOrder(w.t, w.sink.values(), key, 2)
		requireOrder(w.t, w.sink.values(), fmt.Sprint("scattered", i+1, "-"), 1_500)
	}
}

// The relay first sees the table when a lower id than all it sees is open.
func startedLate(w *world) {
	w.aggregate("k")
	first := w.begin()
	w.lock(first, "k")
	w.add(first, event("k", "k1"))
	w.commit("other", "other")
	second := w.next("k", "k2")
	run := w.start()
	w.waitPublished(1)
	w.othersFor(20, 600*time.Millisecond)
	require.NoError(w.t, first.Commit())
	require.NoError(w.t, <-second)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 2)
}

// Hazard range-delete: rows before and behind an open id are with the sink. The id commits, and
// before a read can show it (the reader waits for the sink to take something else) the
// others are acknowledged, from the middle outwards, and deleted.
func deleteSpansNothing(w *world) {
	for _, rows := range []int{5, 400, 700} { // as a list, as what could be a range, as ranges
		w.sink.hold = true
		begun := w.sink.count()
		run := w.start()
		w.commit("before", numbered("before", rows)...)
		middle := w.begin()
		w.add(middle, event("k", fmt.Sprint("late", rows)))
		w.commit("after", numbered("after", rows)...)
		w.waitPublished(begun + 2*rows)

		block, blocked := make(chan struct{}), make(chan struct{}, 1)
		w.sink.set(func(s *sink) { s.block, s.blocked = block, blocked })
		w.commit("other", "other")
		<-blocked
		require.NoError(w.t, middle.Commit())
		w.sink.releaseFromTheMiddle()
		eventually(w.t, "the others are deleted", func() bool { return w.rows() <= 2 })
		w.sink.set(func(s *sink) { s.block, s.blocked = nil, nil })
		close(block)
		w.waitEmpty()
		require.NoError(w.t, run.stop())
		requireAll(w.t, w.sink, []string{fmt.Sprint("late", rows)})
		require.Equal(w.t, begun+2*rows+2, w.sink.count())
	}
}
