package relay

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// deletions is a database in memory whose deletes fail or leave rows.
type deletions struct {
	*memStore
	calls  int
	before func(call int, d store.Deletion) error // with an error the delete does not happen
	after  func(call int) error                   // called after the delete
}

func (s *deletions) Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error) {
	s.calls++
	if s.before != nil {
		if err := s.before(s.calls, d); err != nil {
			return 0, err
		}
	}
	n, err := s.memStore.Delete(ctx, l, d)
	if s.after != nil && err == nil {
		err = s.after(s.calls)
	}
	return n, err
}

func (s *deletions) LockHolders(context.Context) ([]string, error) { return []string{"session 7"}, nil }

// testDeleter is a deleter over n rows. The sink has their records.
type testDeleter struct {
	*deleter
	db      *deletions
	log     *lines
	entries []inflight.Entry
}

func newTestDeleter(t *testing.T, n int) *testDeleter {
	p, st, log := newTestPart(t, Config{})
	db := &deletions{memStore: st}
	st.db.commit(make([]string, n)...)
	d := &testDeleter{deleter: newDeleter(p, db, &lanes.Shelf{}), db: db, log: log}
	for _, row := range st.db.rows {
		d.entries = append(d.entries, inflight.Entry{ID: row.ID, EventID: row.EventID})
	}
	p.inFlight.Add(d.entries)
	return d
}

// acknowledge makes the sink deliver rows, by their ids.
func (d *testDeleter) acknowledge(ids ...int64) {
	for _, id := range ids {
		d.inFlight.Ack(&d.entries[id-1], nil)
	}
}

func (d *testDeleter) left() (ids []int64) {
	d.db.db.mu.Lock()
	defer d.db.db.mu.Unlock()
	for _, row := range d.db.db.rows {
		ids = append(ids, row.ID)
	}
	return ids
}

// runFor runs the deleter for this time.
func (d *testDeleter) runFor(t *testing.T, long time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	d.run(ctx)
}

func TestOnlyAcknowledgedRowsAreDeletedAndSingleOnesWaitForTheirNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDeleter(t, 6)
		d.acknowledge(5, 2, 3)
		d.runFor(t, gatherFor/2)
		require.Zero(t, d.db.calls, "their neighbours may follow")
		d.acknowledge(1)
		d.runFor(t, 2*gatherFor)
		require.Equal(t, 1, d.db.calls)
		require.Equal(t, []int64{4, 6}, d.left())
		held, _, _ := d.inFlight.Counts()
		require.Equal(t, 2, held)

		d.acknowledge(4)
		d.deleteNow <- struct{}{}
		d.runFor(t, gatherFor/2)
		require.Equal(t, []int64{6}, d.left(), "there is no wait when the reader needs room")
	})
}

func TestADeleteThatFailsIsTriedAgain(t *testing.T) {
	for name, each := range map[string]struct {
		before  func(int, store.Deletion) error
		after   func(int) error
		restart bool
	}{
		"before it took place": {before: func(call int, _ store.Deletion) error {
			if call < 3 {
				return errMem
			}
			return nil
		}},
		// The rows are gone when it is tried again. The deleter must assume that the first delete removed
		// them.
		"after it took place": {after: func(call int) error {
			if call == 1 {
				return errMem
			}
			return nil
		}, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestDeleter(t, 2)
				d.db.before, d.db.after = each.before, each.after
				d.acknowledge(1, 2)
				d.runFor(t, time.Minute)
				require.Empty(t, d.left())
				require.Zero(t, d.inFlight.Undeleted())
				require.Equal(t, each.restart, d.readFromStart.Load(), "the reader has to begin anew")
				require.NoError(t, d.term.active.Err())
				require.Equal(t, 1, d.log.count("delivery paused"))
				require.Equal(t, 1, d.log.count("delivery resumed"))
			})
		})
	}
}

// Fewer rows were deleted than were named, and no answer was lost.
func TestADeleteThatMissesRowsEndsTheTerm(t *testing.T) {
	for name, each := range map[string]struct {
		happens func(*testDeleter)
		cause   error
		lost    bool // the lease is lost
		held    int  // rows that stay in flight
	}{
		"somebody has deleted one": {func(d *testDeleter) { d.db.db.rows = d.db.db.rows[1:] }, errIDsWentBack, false,
			0},
		"another owner has the lease": {
			func(d *testDeleter) { d.db.db.lease.epoch++ }, store.ErrLeaseLost, true, 2,
		},
		"another server answers": {func(d *testDeleter) { d.db.db.server = "there" }, store.ErrServerChanged, false,
			2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestDeleter(t, 2)
				each.happens(d)
				d.acknowledge(1, 2)
				d.runFor(t, time.Second)
				require.ErrorIs(t, context.Cause(d.term.active), each.cause)
				require.Equal(t, each.lost, d.term.ctx.Err() != nil)
				held, _, _ := d.inFlight.Counts()
				require.Equal(t, each.held, held)
				require.False(t, d.readFromStart.Load())
			})
		})
	}
}

// keeping has a trigger that keeps rows although their delete reports success.
type keeping struct{ *memStore }

func (s keeping) Delete(context.Context, store.Lease, store.Deletion) (int64, error) {
	return 0, nil
}
func (s keeping) DeleteDelivered(context.Context, store.Lease, []store.Delivered) (int64, error) {
	return 0, nil
}

// Such rows stay in flight. Otherwise the relay would send them again without end.
func TestRowsThatStayAfterTheirDeleteAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDeleter(t, 2)
		d.store = keeping{d.db.memStore}
		d.acknowledge(1, 2)
		d.runFor(t, time.Second)
		require.Equal(t, 1, d.log.count("look for a trigger"))
		require.Equal(t, 2, d.inFlight.Undeleted())
		require.NoError(t, d.term.active.Err())
	})
}

// Hazard locked-row.
func TestLockedRowsAreSetAsideAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDeleter(t, 100)
		locked := []int64{3, 70}
		d.db.before = func(_ int, plan store.Deletion) error {
			for _, e := range plan.Events {
				if slices.Contains(locked, e.ID) {
					return lockTimeout{}
				}
			}
			return nil
		}
		for id := range int64(100) {
			d.acknowledge(id + 1)
		}
		d.runFor(t, time.Second)
		require.Equal(t, []int64{3, 70}, d.left())
		require.Zero(t, d.inFlight.Undeleted(), "a drain does not wait for them")
		require.Len(t, d.inFlight.Leftover(), 2, "and the next session knows them")
		require.Equal(t, 1, d.log.count("may_be_locked_by=session 7"))
		require.Zero(t, d.log.count("delivery paused"))

		locked = locked[1:]
		ctx, cancel := context.WithTimeout(t.Context(), d.cfg.lockedEvery+time.Second)
		defer cancel()
		d.retryLocked(ctx)
		require.Equal(t, []int64{70}, d.left())
		require.Len(t, d.inFlight.Locked(), 1)
	})
}

func TestTheSearchForLockedRowsEndsWithAnotherError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDeleter(t, 2)
		broken := errors.New("connection reset")
		d.db.before = func(call int, _ store.Deletion) error {
			if call == 1 {
				return lockTimeout{}
			}
			return broken
		}
		d.acknowledge(1, 2)
		d.runFor(t, 2*gatherFor)
		require.Equal(t, 2, d.inFlight.Undeleted(), "they are to be deleted yet, and none is set aside")
		require.Empty(t, d.inFlight.Locked())
	})
}
