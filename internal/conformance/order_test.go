package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

var orderScenarios = []scenario{
	{name: "an id that commits after a higher one is delivered", run: inversionOfTwoKeys, writers: true},
	{
		name: "keys whose writers are serialised keep their order under inversion", run: inversionWithSerialisedWriters,
		writers: true,
	},
	{
		name: "a writer open for hundreds of others keeps its place before the next of its key", run: longWriter,
		writers: true, long: true,
	},
	{name: "several writers open for long keep their places", run: longWriters, writers: true, long: true},
	{name: "a late commit into an old gap is delivered", run: lateCommit, writers: true},
	{name: "a backlog is delivered in order of its keys", run: backlog},
	{name: "what is committed while the relay works is delivered in order", run: trickle},
}

func inversionOfTwoKeys(w *world) {
	run := w.start()
	for i := range 20 {
		low, high := w.begin(), w.begin()
		w.add(low, event("a", fmt.Sprint("a", i+1)))
		w.add(high, event("b", fmt.Sprint("b", i+1)))
		require.NoError(w.t, high.Commit())
		w.waitPublished(2*i + 1) // the higher one, alone
		require.NoError(w.t, low.Commit())
		w.waitPublished(2*i + 2)
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Equal(w.t, 40, w.sink.count(), "duplicates")
	requireOrder(w.t, w.sink.values(), "a", 20)
	requireOrder(w.t, w.sink.values(), "b", 20)
}

// aggregate makes an aggregate's row.
func (w *world) aggregate(id string) {
	w.t.Helper()
	w.exec(w.placeholders("INSERT INTO aggregates (id, version) VALUES (?, 0)"), id)
}

// lock takes an aggregate's row, as writers do before they decide anything.
func (w *world) lock(tx *sql.Tx, id string) {
	w.t.Helper()
	var version int64
	err := tx.QueryRowContext(
		context.Background(), w.placeholders("SELECT version FROM aggregates WHERE id = ? FOR UPDATE"), id,
	).Scan(&version)
	require.NoError(w.t, err)
}

// placeholders writes ? as the dialect does.
func (w *world) placeholders(query string) string {
	if w.db.Dialect != db.PostgreSQL {
		return query
	}
	var b []byte
	n := 0
	for _, c := range []byte(query) {
		if c == '?' {
			n++
			b = fmt.Appendf(b, "$%d", n)
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// next begins a transaction that takes the aggregate's lock, writes, and commits, as
// soon as it gets the lock.
func (w *world) next(key, value string) (committed chan error) {
	committed = make(chan error, 1)
	go func() {
		committed <- func() error {
			ctx := context.Background()
			tx, err := w.db.DB.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			var version int64
			q := w.placeholders("SELECT version FROM aggregates WHERE id = ? FOR UPDATE")
			if err := tx.QueryRowContext(ctx, q, key).Scan(&version); err != nil {
				return err
			}
			if err := w.ob.Add(ctx, tx, event(key, value)); err != nil {
				return err
			}
			return tx.Commit()
		}()
	}()
	return committed
}

// T1 (k) takes a low id; T2 (another key) takes and commits a higher one; T3 waits for
// k's row. T1 commits, and T3's event follows at once.
func inversionWithSerialisedWriters(w *world) {
	w.aggregate("k")
	run := w.start()
	const rounds = 25
	for i := range rounds {
		first := w.begin()
		w.lock(first, "k")
		w.add(first, event("k", fmt.Sprint("k", 2*i+1)))
		second := w.next("k", fmt.Sprint("k", 2*i+2))
		w.commit("other", "other")
		require.NoError(w.t, first.Commit())
		require.NoError(w.t, <-second)
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 2*rounds)
	require.Equal(w.t, 3*rounds, w.sink.count(), "lost or duplicated")
}

// othersFor commits events of other keys one by one, each delivered before the next:
// so each takes the relay at least one read. It goes on for long enough that the relay
// has looked at the open transactions several times, and returns how many there were.
func (w *world) othersFor(least int, long time.Duration) int {
	w.t.Helper()
	n := 0
	for begun := time.Now(); n < least || time.Since(begun) < long; n++ {
		before := w.sink.count()
		w.commit("other", "other")
		w.waitPublished(before + 1)
	}
	return n
}

// Hazard late-commit: T1 locks k, takes an id, and stays open while others commit; T1 commits,
// T2, which waited for k, takes a higher id and commits at once.
func longWriter(w *world) {
	w.aggregate("k")
	run := w.start()
	w.waitForRelay()
	first := w.begin()
	w.lock(first, "k")
	w.add(first, event("k", "k1"))
	second := w.next("k", "k2")
	others := w.othersFor(200, time.Second)
	require.Len(w.t, w.sink.values(), others+1)
	require.NoError(w.t, first.Commit())
	require.NoError(w.t, <-second)
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 2)
	require.Equal(w.t, others+3, w.sink.count())
}

// waitForRelay waits until a relay reads: it has delivered an event.
func (w *world) waitForRelay() {
	w.t.Helper()
	before := w.sink.count()
	w.commit("hello", "hello")
	w.waitPublished(before + 1)
}

// Many writers at a time, each with several ids spread among those of others.
func longWriters(w *world) {
	const writers = 8
	for i := range writers {
		w.aggregate(fmt.Sprint("key", i, "-"))
	}
	run := w.start()
	w.waitForRelay()
	var open []*sql.Tx
	for i := range writers {
		tx := w.begin()
		w.lock(tx, fmt.Sprint("key", i, "-"))
		open = append(open, tx)
	}
	for round := range 10 {
		for i, tx := range open {
			key := fmt.Sprint("key", i, "-")
			w.add(tx, event(key, fmt.Sprint(key, round+1)))
		}
		w.othersFor(5, 0)
	}
	var followers []chan error
	for i := range writers {
		key := fmt.Sprint("key", i, "-")
		followers = append(followers, w.next(key, key+"11"))
	}
	w.othersFor(10, 600*time.Millisecond)
	for i, tx := range open {
		require.NoError(w.t, tx.Commit())
		require.NoError(w.t, <-followers[i])
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	for i := range writers {
		requireOrder(w.t, w.sink.values(), fmt.Sprint("key", i, "-"), 11)
	}
}

func lateCommit(w *world) {
	run := w.start()
	first := w.begin()
	w.add(first, event("late", "late1"))
	w.othersFor(20, 500*time.Millisecond)
	w.waitEmpty()
	require.NoError(w.t, first.Commit())
	eventually(w.t, "it is delivered", func() bool {
		values := w.sink.values()
		return values[len(values)-1] == "late1"
	})
	w.waitEmpty()
	require.NoError(w.t, run.stop())
}

func backlog(w *world) {
	for i := range 20 {
		w.commit(fmt.Sprint("key", i%5, "-"), numbered(fmt.Sprint("key", i%5, "-", i/5), 10)...)
	}
	run := w.start()
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	require.Equal(w.t, 200, w.sink.count())
	for key := range 5 {
		for part := range 4 {
			requireOrder(w.t, w.sink.values(), fmt.Sprint("key", key, "-", part), 10)
		}
	}
	for i := 1; i < 200; i++ {
		require.Less(w.t, w.sink.all()[i-1].id, w.sink.all()[i].id, "a backlog is read in order")
	}
}

func trickle(w *world) {
	run := w.start()
	for i := range 100 {
		w.commit("k", fmt.Sprint("k", i+1))
	}
	w.waitEmpty()
	require.NoError(w.t, run.stop())
	requireOrder(w.t, w.sink.values(), "k", 100)
}
