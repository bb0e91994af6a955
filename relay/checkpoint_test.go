package relay

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/checkpoint"
)

// walked counts how many of the ids up to a limit each read asks for. If the rows are deleted and a snapshot
// keeps them, the read walks over that many rows.
type walked struct {
	database
	mu    sync.Mutex
	upTo  int64 // count ids up to this one; 0: all ids so far
	head  int64 // head of the last read
	reads int
	ids   int64
	gaps  int // gaps of the last read
	open  int // ranges in the checkpoint that was saved last; -1: none was saved
}

func (w *walked) Note(ctx context.Context, l store.Lease, n store.Note) error {
	err := w.database.Note(ctx, l, n)
	if n.Field != store.FieldCheckpoint {
		return err
	}
	if p := checkpoint.Parse([]byte(n.Value), l.Server); p != nil && err == nil {
		w.mu.Lock()
		w.open = len(p.Open)
		w.mu.Unlock()
	}
	return err
}

// stopAt stops the relay when the checkpoint in the lease row has open ranges of this number. A stop saves
// what the last read knew. If a delete was answered after that read, its rows are not in the checkpoint, and
// the next start proves them.
func (w *walked) stopAt(b *bench, stop func() error, open int) {
	b.t.Helper()
	for range 100 {
		require.NoError(b.t, stop())
		w.mu.Lock()
		saved := w.open
		w.mu.Unlock()
		if saved == open {
			return
		}
		stop = b.start()
		w.settled(b, 0)
		// MariaDB lists the transactions of the whole server, from a copy that other tests keep old.
		require.Eventually(b.t, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.gaps <= open
		}, 2*time.Minute, time.Millisecond, "gaps that nobody can fill are still asked for")
	}
	require.FailNow(b.t, "no checkpoint was saved with as many open ranges", "%d", open)
}

func (w *walked) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	w.mu.Lock()
	w.head, w.gaps = q.Head, len(q.Gaps)
	w.reads++
	if !q.GapsOnly {
		w.ids += max(0, w.upTo-q.Head)
	}
	for _, g := range q.Gaps {
		w.ids += max(0, min(g.Hi, w.upTo)-g.Lo+1)
	}
	w.mu.Unlock()
	return w.database.Read(ctx, q, visit)
}

// from starts counting the ids that were read so far.
func (w *walked) from() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upTo, w.reads, w.ids = w.head, 0, 0
}

func (w *walked) read() (reads int, ids int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads, w.ids
}

// settled waits until the rows of the last read are deleted, and until two more reads have happened.
func (w *walked) settled(b *bench, rows int) {
	b.t.Helper()
	eventually(b.t, "what was delivered is deleted", func() bool { return b.rows() == rows })
	before, _ := w.read()
	eventually(b.t, "it was read twice since", func() bool { n, _ := w.read(); return n >= before+2 })
}

func newWalked(b *bench) *walked {
	w := &walked{open: -1}
	b.naive = func(s database) database { w.database = s; return w }
	b.cfg.sweepEvery = time.Hour
	return w
}

// Hazard stored-cursor.
// Two million events were delivered, and an old snapshot keeps their rows in the index. A relay that starts
// then need not look at them: an earlier relay has proved that none is left, and has written that into the
// lease row. 300 rows stand for the two million. The test counts how many of their ids the reads ask for.
func TestAStartDoesNotWalkOverWhatIsProvedEmpty(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		w := newWalked(b)
		b.commit("k", numbered("k", 300)...)
		stop := b.start()
		eventually(t, "all are delivered", func() bool { return b.sink.count() == 300 })
		w.settled(b, 0)
		w.stopAt(b, stop, 0)
		w.from()
		b.commit("k", "k301")
		stop = b.start()
		eventually(t, "the next is delivered", func() bool { return b.sink.count() == 301 })
		w.settled(b, 0)
		require.NoError(t, stop())
		reads, ids := w.read()
		require.Positive(t, reads)
		require.Zero(t, ids, "ids whose rows are gone, asked for in %d reads", reads)
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// A writer took an id and is forgotten, and 300 others were delivered since. A relay that starts then asks
// for this one id in each read, and for none of the others. At last the writer commits. Its event is
// delivered before a later event of its key.
func TestAStartAsksForTheGapOfAForgottenWriterAlone(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		w := newWalked(b)
		b.commit("other", "before")
		stop := b.start()
		eventually(t, "the first is delivered", func() bool { return b.sink.count() == 1 })
		forgotten := b.begin()
		b.add(forgotten, "k", "k1")
		for range 30 {
			b.commit("other", numbered("o", 10)...)
		}
		eventually(t, "the others are delivered", func() bool { return b.sink.count() == 301 })
		w.settled(b, 0)
		w.stopAt(b, stop, 1)
		w.from()
		b.commit("other", "after")
		stop = b.start()
		eventually(t, "the next is delivered", func() bool { return b.sink.count() == 302 })
		w.settled(b, 0)
		reads, ids := w.read()
		require.LessOrEqual(t, ids, int64(2*reads),
			"more than the gap (MariaDB reads it twice) was asked for in %d reads", reads)
		require.NoError(t, forgotten.Commit())
		b.commit("k", "k2")
		eventually(t, "all are delivered", func() bool { return b.sink.count() == 304 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// Hazard proved-ids-come-back.
// While no relay runs, the ids go back to 1, as after a table was emptied or restored. The checkpoint in the
// lease row is not true for the new rows. The sweep at the start finds them, and they are read from the
// start, in order.
func TestIDsThatCameBackBelowWhatIsProvedAreDelivered(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		w := newWalked(b)
		b.commit("k", numbered("k", 50)...)
		stop := b.start()
		eventually(t, "all are delivered", func() bool { return b.sink.count() == 50 })
		w.settled(b, 0)
		require.NoError(t, stop())
		b.resetIDs()
		b.commit("k", numbered("k", 60)[50:]...)
		stop = b.start()
		eventually(t, "those that came since are delivered", func() bool { return b.sink.count() == 60 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// Hazard proved-ids-come-back.
// Ids came back, so the lease was claimed again, and the lease row must be corrected. The database fails
// before that. The checkpoint in the row must not be used after that.
func TestWhatIsNotTrueAnyMoreIsNotAskedForAfterAnError(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	s := b.session()
	require.NoError(t, s.relay.store.Note(t.Context(), s.term.lease,
		store.Checkpoint([]byte(`{"server": "sqlite", "up_to": 1000}`))))
	s.relay.idsWentBack, s.relay.unsureOwner = true, s.term.lease.Owner
	k, err := s.relay.claim(t.Context())
	require.NoError(t, err)
	s = newSession(s.relay, k)
	s.readAgain()
	require.NoError(t, s.cursor.reloadCheckpoint(t.Context()))
	require.Zero(t, s.cursor.head)
	k.saveCheckpoint()
	s.readAgain()
	require.NoError(t, s.cursor.reloadCheckpoint(t.Context()))
	require.Zero(t, s.cursor.head)
}
