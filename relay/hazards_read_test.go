package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// Each test here forces an interleaving of docs/hazards.md. It runs with the rule, and again without it, with
// a naive store that removes the rule. So it shows that the scenario would notice if the rule were lost.

// counting counts reads and probes, so that a test can wait for some of each.
type counting struct {
	database
	reads, looks atomic.Int64
	still        sync.RWMutex // while it is write-locked, no read begins
	swept        atomic.Bool  // sweeps find nothing, as if the last one had just ended
}

func (c *counting) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	c.still.RLock()
	defer c.still.RUnlock()
	defer c.reads.Add(1)
	return c.database.Read(ctx, q, visit)
}

func (c *counting) EventsUpTo(ctx context.Context, id int64, limit int, visit func(store.Event) bool) error {
	if c.swept.Load() {
		return nil
	}
	return c.database.EventsUpTo(ctx, id, limit, visit)
}

func (c *counting) OpenWriters(ctx context.Context) (store.Writers, error) {
	defer c.looks.Add(1)
	return c.database.OpenWriters(ctx)
}

func (c *counting) waitForMore(t *testing.T, reads, looks int64) {
	reads, looks = reads+c.reads.Load(), looks+c.looks.Load()
	eventually(t, "more reads and looks", func() bool { return c.reads.Load() >= reads && c.looks.Load() >= looks })
}

// noWriters forgets each gap at the first probe.
type noWriters struct{ database }

func (noWriters) OpenWriters(context.Context) (store.Writers, error) {
	return store.Writers{Known: true}, nil
}

// Hazard late-commit: T1 takes an id of key k and stays open while others commit and are delivered. It
// commits, and at once T2, which waited for k, takes a higher id. A relay that no longer asks for the old id
// sends T2's event first.
func TestHazardAGapForgottenTooEarlyReorders(t *testing.T) {
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.cfg.sweepEvery = 20 * time.Millisecond
		count := &counting{}
		b.naive = func(s database) database {
			if naive {
				s = noWriters{s}
			}
			count.database = s
			return count
		}
		stop := b.start()
		first := b.begin()
		b.add(first, "k", "k1")
		for i := range 50 {
			b.commit("other", fmt.Sprint("other", i))
		}
		eventually(t, "the others are delivered", func() bool { return b.sink.count() == 50 })
		if naive {
			count.waitForMore(t, 10, 0) // one probe is enough, and no other follows
		} else {
			count.waitForMore(t, 10, 3)
		}
		// A sweep between T1's commit and the delivery of k2 would hide the fault. So the last sweep was just
		// before.
		count.swept.Store(true)
		count.still.Lock()
		require.NoError(t, first.Commit())
		b.commit("k", "k2")
		count.still.Unlock()
		eventually(t, "k2 is delivered", func() bool { return contains(b.sink.values(), "k2") })
		count.swept.Store(false)
		eventually(t, "all are delivered", func() bool { return b.sink.count() >= 52 && b.empty() })
		require.NoError(t, stop())
		return b.sink.firstCopies()
	}
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		require.True(t, inOrder(scenario(t, db, false), "k"))
	})
	// In the naive case the reads after T1's commit do not ask for its id, and the sweep comes too late.
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
		require.False(t, inOrder(scenario(t, db, true), "k"), "the scenario does not catch the naive way")
	})
}

// Hazard prepared-transaction: PREPARE TRANSACTION gives the locks of a writer to another holder, and its
// session does something else.
func TestHazardAPreparedTransactionStillHoldsItsGap(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	b := newBench(t, db)
	count := &counting{}
	b.naive = func(s database) database { count.database = s; return count }
	stop := b.start()
	first := b.begin()
	b.add(first, "k", "k1")
	b.commit("other", "other")
	eventually(t, "the other is delivered", func() bool { return b.sink.count() == 1 })
	count.waitForMore(t, 5, 2)
	_, err := first.Exec("PREPARE TRANSACTION 'hazard1'")
	require.NoError(t, err)
	_ = first.Rollback()
	count.waitForMore(t, 5, 4)
	b.exec("COMMIT PREPARED 'hazard1'")
	b.commit("k", "k2")
	eventually(t, "all are delivered", func() bool { return b.sink.count() == 3 && b.empty() })
	require.NoError(t, stop())
	require.True(t, inOrder(b.sink.values(), "k"), b.sink.values())
}

// storedHead starts at a head that an earlier owner reached.
type storedHead struct {
	database
	head int64
}

func (s storedHead) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	q.Head = max(q.Head, s.head)
	q.Gaps = slices.DeleteFunc(q.Gaps, func(r store.Range) bool { return r.Lo <= s.head })
	return s.database.Read(ctx, q, visit)
}

// Hazard stored-cursor: rows 1 to 100 are read, the relay stops, and row 50 is unsent. A successor that
// starts at 100 sends a later row of the same key first.
func TestHazardAStoredHeadReorders(t *testing.T) {
	t.Parallel()
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.cfg.BatchSize = 200
		var away atomic.Bool
		away.Store(true)
		b.sink.verdict = func(r *Record) error {
			if string(r.Payload) == "k1" && away.Load() {
				return errors.New("the broker is away")
			}
			return nil
		}
		for i := range 49 {
			b.commit("before", fmt.Sprint("before", i))
		}
		b.commit("k", "k1")
		b.commit("after", "after1")
		stop := b.start()
		eventually(t, "the first rows are delivered", func() bool { return b.sink.count() >= 49 })
		if err := stop(); err != nil {
			require.ErrorIs(t, err, ErrNotDrained) // it was stopped before k1 was acknowledged
			b.exec("UPDATE outbox_leases SET owner = NULL")
		}
		away.Store(false)
		b.commit("k", "k2")
		if naive {
			b.naive = func(s database) database { return storedHead{s, 51} }
		}
		stop = b.start()
		eventually(t, "k2 is delivered", func() bool { return contains(b.sink.values(), "k2") })
		if naive {
			// No read would ever return row 50, so the test counts it as delivered last.
			require.False(t, contains(b.sink.values(), "k1"))
			require.NoError(t, stop())
			return append(b.sink.firstCopies(), "k1")
		}
		eventually(t, "the table is empty", b.empty)
		require.NoError(t, stop())
		return b.sink.firstCopies()
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		require.True(t, inOrder(scenario(t, db, false), "k"))
	})
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.SQLite(t))
		require.False(t, inOrder(scenario(t, db, true), "k"), "the scenario does not catch the naive way")
	})
}

func contains(values []string, want string) bool { return slices.Contains(values, want) }

// slowRead delays the rows of a read, between its snapshot and the relay, until they are deleted.
type slowRead struct {
	database
	armed   atomic.Bool
	between func()
}

func (s *slowRead) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if !s.armed.CompareAndSwap(true, false) {
		return s.database.Read(ctx, q, visit)
	}
	q.Head, q.Gaps = 0, nil // as after a read from the start: the snapshot has the row
	var rows []store.Row
	info, err := s.database.Read(ctx, q, func(row *store.Row) bool { rows = append(rows, *row); return true })
	s.between()
	for i := range rows {
		if !visit(&rows[i]) {
			break
		}
	}
	return info, err
}

// Hazard read-during-delete again, through the whole relay.
func TestHazardAReadThatBeganBeforeADeleteResendsThroughTheRelay(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.sink.hold = true
		deleted := make(chan struct{})
		slow := &slowRead{between: func() {
			b.sink.release()
			eventually(t, "the row is deleted", b.empty)
			close(deleted)
		}}
		b.naive = func(s database) database { slow.database = s; return slow }
		stop := b.start()
		b.commit("k", "k1")
		eventually(t, "it is published", func() bool { return b.sink.count() == 1 })
		slow.armed.Store(true)
		<-deleted
		b.commit("k", "k2")
		eventually(t, "k2 is delivered", func() bool { return contains(b.sink.values(), "k2") && b.empty() })
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	})
}

// torn hides a row from statements that ask for rows above the head, until the statement that first returned
// a later row has ended. MariaDB does this.
type torn struct {
	database
	admit  bool // reports that its reads see no single snapshot
	hidden string
	done   atomic.Bool
}

func (s *torn) SingleSnapshot() bool { return !s.admit }

func (s *torn) Read(ctx context.Context, q store.ReadQuery, visit func(*store.Row) bool) (store.ReadInfo, error) {
	shown := false
	hide := !q.GapsOnly && !s.done.Load()
	info, err := s.database.Read(ctx, q, func(row *store.Row) bool {
		if hide && string(row.Payload) == s.hidden {
			return true
		}
		shown = shown || string(row.Payload) == "k2"
		return visit(row)
	})
	if shown {
		s.done.Store(true)
	}
	return info, err
}

// Hazard inconsistent-snapshot: one statement of MariaDB returns a row without an earlier, committed one of
// its key.
func TestHazardOneStatementIsNotOneSnapshotOnMariaDB(t *testing.T) {
	t.Parallel()
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.naive = func(s database) database { return &torn{database: s, admit: !naive, hidden: "k1"} }
		b.commit("k", "k1")
		b.commit("k", "k2")
		stop := b.start()
		eventually(t, "all are delivered", func() bool { return b.sink.count() == 2 && b.empty() })
		require.NoError(t, stop())
		return b.sink.values()
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		require.True(t, inOrder(scenario(t, db, false), "k"))
	})
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.SQLite(t))
		require.False(t, inOrder(scenario(t, db, true), "k"), "the scenario does not catch the naive way")
	})
}
