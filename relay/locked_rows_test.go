package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func (b *bench) lock() (release func()) {
	b.t.Helper()
	tx := b.begin()
	var id int64
	require.NoError(b.t, tx.QueryRowContext(context.Background(),
		"SELECT id FROM outbox_events ORDER BY id LIMIT 1 FOR UPDATE").Scan(&id))
	return func() { require.NoError(b.t, tx.Rollback()) }
}

// Hazard locked-row.
// A session locks one row and forgets it. The row is delivered, and its delete is set aside. The other rows
// are deleted, far more than may be in flight. An outage ends the sink's session. The next session must know
// the row that is still in the table, or it would send the row again. Then the lock is released, and the row
// is deleted.
func TestALockedRowHoldsUpNoOther(t *testing.T) {
	for _, archive := range []bool{false, true} {
		t.Run(fmt.Sprint("archive ", archive), func(t *testing.T) {
			t.Parallel() // it waits for locks
			concurrentWriters(t, func(t *testing.T, db dbtest.Database) { aLockedRow(t, db, archive) })
		})
	}
}

func aLockedRow(t *testing.T, db dbtest.Database, archive bool) {
	b := newBench(t, db)
	b.cfg.MaxInFlight, b.cfg.BatchSize, b.cfg.Archive, b.cfg.lockedEvery = 40, 40, archive, 20*time.Millisecond
	log := &lines{}
	b.commit("k", numbered("k", 8)...) // few, because the search for the locked row halves them, and waits each time
	release := b.lock()
	outage := errors.New("the broker is away")
	once := false
	b.sink.verdict = func(r *Record) error {
		if string(r.Payload) == "k70" && !once {
			once = true
			return outage
		}
		return nil
	}
	r := b.relay()
	r.log = slog.New(log)
	stop := start(t, r)
	eventually(t, "all but the locked row are deleted", func() bool { return b.rows() == 1 })
	b.commit("k", numbered("k", 120)[8:]...)
	require.Eventually(t, func() bool { return b.sink.count() == 120 && b.rows() == 1 }, 2*time.Minute,
		time.Millisecond, "the others are delivered and deleted while one row stays locked")
	require.NotZero(t, log.count("set aside"))
	require.NotZero(t, log.count("may_be_locked_by=session "), "the log does not name who may hold the lock")
	release()
	eventually(t, "the locked row is deleted", b.empty)
	require.NoError(t, stop())
	require.Equal(t, numbered("k", 120), b.sink.values(), "each is sent once, and in order")
}

// Hazard locked-row.
// The same happens in exactly-once mode, where a new session and a new relay begin with the delete of the
// rows that the manifests name, including the locked one. In the past they waited until the lock was
// released.
func TestALockedRowHoldsUpNoOtherExactlyOnce(t *testing.T) {
	t.Parallel()
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newExactly(t, db)
		b.cfg.lockedEvery = 100 * time.Millisecond
		b.commit("k", "k1", "k2")
		release := b.lock()
		var once atomic.Bool
		b.broker.verdict = func(r *Record) error {
			if string(r.Payload) == "k3" && once.CompareAndSwap(false, true) {
				return errors.New("the broker is away")
			}
			return nil
		}
		stop := b.start()
		eventually(t, "all but the locked row are deleted",
			func() bool { return len(b.broker.values()) == 2 && b.rows() == 1 })
		b.commit("k", "k3", "k4")
		eventually(t, "a new session delivers", func() bool { return len(b.broker.values()) == 4 && b.rows() == 1 })
		require.ErrorIs(t, stop(), ErrNotDrained)
		b.expireLease()
		stop = b.start()
		b.commit("k", "k5")
		eventually(t, "a new relay delivers", func() bool { return len(b.broker.values()) == 5 && b.rows() == 1 })
		release()
		eventually(t, "the locked row is deleted", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 5), b.broker.values(), "each is committed once, and in order")
		stop = b.start()
		b.commit("k", "k6")
		eventually(t, "the next start finds nothing to delete", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 6), b.broker.values())
	})
}

// Hazard locked-row.
// A row that must be parked behind another of its key is locked. In the past the move waited for it and held
// the lock of the lease row, until the lease was lost, again and again.
func TestALockedRowThatIsToBeParkedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.LeaseTTL = 3 * time.Second
		b.refuse("bad")
		b.commit("k", "bad")
		stop := b.start()
		b.parkedAre("bad failed")
		require.NoError(t, stop())
		b.commit("k", "k1", "k2")
		release := b.lock()
		before := b.epoch()
		stop = b.start()
		for i := range 5 {
			b.commitTo("other", "o", numbered("o", i+1)[i])
			eventually(t, "the others are delivered", func() bool { return b.sink.count() == i+1 && b.rows() == 2 })
		}
		require.Equal(t, before+1, b.epoch(), "the lease was lost")
		b.parkedAre("bad failed")
		release()
		b.parkedAre("bad failed", "k1 blocked", "k2 blocked")
		require.NoError(t, stop())
		require.Equal(t, numbered("o", 5), b.sink.values())
	})
}

var errLocked = lockTimeout{}

type lockTimeout struct{}

func (lockTimeout) Error() string    { return "canceling statement due to lock timeout" }
func (lockTimeout) SQLState() string { return "55P03" }

// Hazard locked-row.
func TestASearchForLockedRowsLeavesTheLockedOnesOnly(t *testing.T) {
	rows := make([]int, 1000)
	for i := range rows {
		rows[i] = i
	}
	locked := []int{3, 500, 999}
	var gone []int
	waits := 0
	remove := func(part []int) error {
		for _, l := range locked {
			if slices.Contains(part, l) {
				waits++
				return errLocked
			}
		}
		gone = append(gone, part...)
		return nil
	}
	left, err := avoidingLocks(rows, lockWaits, remove)
	require.NoError(t, err)
	require.ElementsMatch(t, locked, left)
	require.Len(t, gone, 997)
	require.LessOrEqual(t, waits, lockWaits)

	// All rows are locked. The search gives up. It waits at most for its number of locks, and once for each
	// part that it has not halved.
	waits, locked = 0, rows
	left, err = avoidingLocks(rows, lockWaits, remove)
	require.NoError(t, err)
	require.ElementsMatch(t, rows, left)
	require.LessOrEqual(t, waits, 2*lockWaits+1)

	// Another error ends the search. The rows that were not removed are returned, each once.
	failure := errors.New("connection reset")
	gone = nil
	left, err = avoidingLocks(rows, lockWaits, func(part []int) error {
		switch {
		case len(part) > 10:
			return errLocked
		case len(gone) >= 100:
			return failure
		}
		gone = append(gone, part...)
		return nil
	})
	require.ErrorIs(t, err, failure)
	require.ElementsMatch(t, rows, append(left, gone...))
}
