package relay

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// slowSweeps delays the rows of a sweep's statement. The same happens when it walks over millions of deleted
// rows that the database may not remove.
type slowSweeps struct {
	database
	shown   chan struct{} // signals that a statement has run
	release chan struct{}
	restart atomic.Int64 // number of reads from the start
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
// A sweep's statement returns five rows that are in flight, and takes long. Meanwhile these are acknowledged
// and deleted, and many times as many rows as may be in flight are read and delivered. Then the sweep
// compares its rows with those that were in flight when its statement began. None of them is a stray.
func TestASweepHoldsUpNeitherReadsNorIDsInFlight(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.sweepEvery, b.cfg.MaxInFlight, b.cfg.BatchSize = time.Millisecond, 10, 10
		slow := &slowSweeps{shown: make(chan struct{}, 1), release: make(chan struct{})}
		b.naive = func(s database) database { slow.database = s; return slow }
		b.sink.hold = true
		b.commit("k", numbered("k", 5)...)
		stop := b.start()
		eventually(t, "the first are on their way", func() bool { return b.sink.count() == 5 })
		<-slow.shown // the statement has run; idle reads go on, so that the next sweep is due
		b.sink.release()
		eventually(t, "the first are deleted", b.empty)
		b.commit("k", numbered("k", 105)[5:]...)
		eventually(t, "the others are delivered while the sweep runs",
			func() bool { return b.sink.count() == 105 && b.empty() })
		restarts := slow.restart.Load()
		close(slow.release)
		<-slow.shown // the sweep has ended, and another one has begun
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
// A sweep that fails is tried again, and nothing else stops because of it.
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

// A stray is below the head, and neither in a gap, nor in flight, nor on the shelf.
func TestASweepFindsTheFirstRowThatNoReadAsksFor(t *testing.T) {
	st := &memStore{db: &memDB{}, fault: func(string) error { return nil }}
	st.db.commit(make([]string, 9)...)
	row := func(id int64) store.Event { return store.Event{ID: id, EventID: st.db.rows[id-1].EventID} }
	for _, each := range []struct {
		name  string
		sweep sweep
		stray int64 // 0: there is none
	}{
		{"all are known", sweep{head: 9, gaps: []store.Range{{Lo: 1, Hi: 2}, {Lo: 7, Hi: 9}},
			held: []store.Event{row(3), row(6)}, shelf: []int64{4, 5}}, 0},
		{"rows above the head do not count", sweep{head: 2, gaps: []store.Range{{Lo: 1, Hi: 2}}}, 0},
		{"the first", sweep{head: 9, gaps: []store.Range{{Lo: 2, Hi: 9}}}, 1},
		{"the last", sweep{head: 9, gaps: []store.Range{{Lo: 1, Hi: 8}}}, 9},
		{"between two in flight", sweep{head: 3, held: []store.Event{row(1), row(3)}}, 2},
		{"between two gaps", sweep{head: 9, gaps: []store.Range{{Lo: 1, Hi: 4}, {Lo: 6, Hi: 9}}}, 5},
		{"deleted since, and still in the copy", sweep{head: 3, gaps: []store.Range{{Lo: 1, Hi: 1}, {Lo: 3, Hi: 3}},
			held: []store.Event{{ID: -1}, row(2)}}, 0},
	} {
		t.Run(each.name, func(t *testing.T) {
			found := each.sweep.run(t.Context(), st)
			require.NoError(t, found.err)
			require.False(t, found.cameBack)
			if each.stray == 0 {
				require.Nil(t, found.stray)
			} else {
				require.Equal(t, row(each.stray), *found.stray)
			}
		})
	}
	again := sweep{head: 1, held: []store.Event{{ID: 1, EventID: uuid.New()}}}
	require.True(t, again.run(t.Context(), st).cameBack, "the id in flight has another event")
}

// strays is a table whose sweeps take an hour if they are slow.
type strays struct {
	*memStore
	slow       bool
	sweeps     int
	renumbered []int64
}

func (s *strays) EventsUpTo(ctx context.Context, id int64, limit int, visit func(store.Event) bool) error {
	s.sweeps++
	if s.slow {
		time.Sleep(time.Hour) // in the time of the synctest bubble
	}
	return s.memStore.EventsUpTo(ctx, id, limit, visit)
}

func (s *strays) Renumber(_ context.Context, _ store.Lease, row store.Event) error {
	s.renumbered = append(s.renumbered, row.ID)
	s.db.remove(func(r store.Row) bool { return r.ID == row.ID })
	return nil
}

func newTestSweeps(t *testing.T) (*cursor, *strays, *lines) {
	p, st, log := newTestPart(t, Config{sweepEvery: time.Minute})
	p.cfg.answerTimeout = 2 * time.Hour
	table := &strays{memStore: st}
	c := newCursor(p, table, &lanes.Shelf{})
	c.head = 5
	return c, table, log
}

// sweepOnce waits until one more sweep has run, and handles its result.
func sweepOnce(c *cursor, found, limit int) error {
	if err := c.stepSweep(context.Background(), found, limit); err != nil {
		return err
	}
	synctest.Wait()
	return c.stepSweep(context.Background(), found, limit)
}

func TestASweepRestsLongerThanItTook(t *testing.T) {
	for _, each := range []struct {
		name  string
		slow  bool
		found int // rows that a read found, of 10 that it asked for
		next  time.Duration
	}{
		{"as configured", false, 1, time.Minute},
		{"longer while there is a backlog", false, 10, 6 * time.Minute},
		{"long after a slow one", true, 1, sweepRest * time.Hour},
	} {
		t.Run(each.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, table, _ := newTestSweeps(t)
				table.slow = each.slow
				require.NoError(t, c.stepSweep(t.Context(), each.found, 10))
				synctest.Wait()
				if each.slow {
					require.NoError(t, c.stepSweep(t.Context(), each.found, 10), "it does not wait for the sweep")
					require.NotNil(t, c.sweeper.running)
					time.Sleep(time.Hour)
					synctest.Wait()
				}
				ended := time.Now()
				require.NoError(t, c.stepSweep(t.Context(), each.found, 10))
				require.Equal(t, ended.Add(each.next), c.term.sweepDue)
				time.Sleep(each.next - time.Millisecond)
				require.NoError(t, c.stepSweep(t.Context(), each.found, 10))
				require.Nil(t, c.sweeper.running, "not before it is due")
				require.Equal(t, 1, table.sweeps)
			})
		})
	}
}

func TestAStrayHasEverythingReadAgainUnlessItsIDIsBelowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, table, log := newTestSweeps(t)
		table.db.rows = []store.Row{{ID: -2, EventID: uuid.New()}, {ID: 0, EventID: uuid.New()}}
		require.NoError(t, sweepOnce(c, 0, 10))
		require.NoError(t, sweepOnce(c, 0, 10), "the next one is due at once: there may be more")
		require.Equal(t, []int64{-2, 0}, table.renumbered)
		require.Equal(t, 2, log.count("it was given a new one"))

		table.db.rows = []store.Row{{ID: 3, EventID: uuid.New()}}
		require.ErrorIs(t, sweepOnce(c, 0, 10), errIDsWentBack)
		require.Equal(t, 1, log.count("below those already read"))
	})
}

func TestASweepThatIsStillRunningEndsWithTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, table, _ := newTestSweeps(t)
		table.slow = true
		require.NoError(t, c.stepSweep(t.Context(), 0, 10))
		c.endSweep()
		require.Nil(t, c.sweeper.running)
		require.Equal(t, 1, table.sweeps)
	})
}
