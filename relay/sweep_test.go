package relay

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// slowSweeps holds back what a sweep's statement shows, as millions of deleted rows do
// that the database may not remove.
type slowSweeps struct {
	database
	shown   chan struct{} // a statement has run
	release chan struct{}
	restart atomic.Int64 // reads from the start
}

func (s *slowSweeps) EventsUpTo(ctx context.Context, id int64, limit int, visit func(store.Event) bool) error {
	var rows []store.Event
	if err := s.database.EventsUpTo(ctx, id, limit,
		func(e store.Event) bool { rows = append(rows, e); return true }); err != nil {
		return err
	}
	select {
	case s.shown <- struct{}{}:
	default:
	}
	select {
	case <-s.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, e := range rows {
		if !visit(e) {
			break
		}
	}
	return nil
}

func (s *slowSweeps) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if q.Head == 0 {
		s.restart.Add(1)
	}
	return s.database.Read(ctx, q, visit)
}

// Hazard sweep-during-delete.
// A sweep's statement shows five rows that are on their way, and takes long. Meanwhile
// these are acknowledged and deleted, and many times as many as may be in flight are
// read and delivered. Then the sweep compares its rows with what was in flight when its
// statement began: none of them is one that no read asks for.
func TestASweepHoldsUpNeitherReadsNorIDsInFlight(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.sweepEvery, b.cfg.MaxInFlight, b.cfg.BatchSize = time.Millisecond, 10, 10
		slow := &slowSweeps{shown: make(chan struct{}, 1), release: make(chan struct{})}
		b.naive = func(s database) database { slow.database = s; return slow }
		b.sink.hold = true
		b.commit("k", numbered("k", 5)...)
		stop := b.start()
		eventually(t, "the first are on their way", func() bool { return b.sink.count() == 5 })
		<-slow.shown // the statement has run: idle reads go on, so that the next is due
		b.sink.release()
		eventually(t, "the first are deleted", b.empty)
		b.commit("k", numbered("k", 105)[5:]...)
		eventually(t, "the others are delivered while the sweep runs",
			func() bool { return b.sink.count() == 105 && b.empty() })
		restarts := slow.restart.Load()
		close(slow.release)
		<-slow.shown // the sweep has ended, and another has begun
		b.commit("k", "k106")
		eventually(t, "the last is delivered", func() bool { return b.sink.count() == 106 && b.empty() })
		require.NoError(t, stop())
		require.Equal(t, restarts, slow.restart.Load(),
			"a row that was delivered since is taken for one that no read asks for")
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// failingSweeps counts its failures.
type failingSweeps struct {
	slowSweeps
	failed atomic.Int64
}

func (s *failingSweeps) EventsUpTo(context.Context, int64, int, func(store.Event) bool) error {
	s.failed.Add(1)
	return errMem
}

// Hazard sweep-during-delete.
// A sweep that fails is tried again, and nothing else stops for it.
func TestASweepThatFailsStopsNothing(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	b := newBench(t, db)
	b.cfg.sweepEvery = time.Millisecond
	failing := &failingSweeps{}
	b.naive = func(s database) database { failing.database = s; return failing }
	b.commit("k", "k1")
	stop := b.start()
	eventually(t, "the event is delivered", func() bool { return b.sink.count() == 1 && b.empty() })
	restarts, failed := failing.restart.Load(), failing.failed.Load()
	eventually(t, "sweeps fail, and are tried again", func() bool { return failing.failed.Load() >= failed+3 })
	b.commit("k", "k2")
	eventually(t, "another event is delivered", func() bool { return b.sink.count() == 2 && b.empty() })
	require.NoError(t, stop())
	require.Equal(t, restarts, failing.restart.Load(), "the relay reads from the start because a sweep failed")
}
