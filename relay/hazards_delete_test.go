package relay

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// byIDAlone deletes by id only, whatever event the row holds now.
type byIDAlone struct {
	database
	db dbtest.Database
}

func (s byIDAlone) Delete(ctx context.Context, _ store.Lease, d store.Deletion) (int64, error) {
	var where []string
	for _, r := range d.Runs {
		where = append(where, fmt.Sprintf("id BETWEEN %d AND %d", r.Lo, r.Last.ID))
	}
	for _, e := range d.Events {
		where = append(where, fmt.Sprintf("id = %d", e.ID))
	}
	result, err := s.db.DB.ExecContext(ctx, "DELETE FROM outbox_events WHERE "+strings.Join(where, " OR "))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Hazard reused-ids: acknowledged rows wait for their delete. The database goes back to an older state, and
// new events take the same ids. Then the delete comes.
func TestHazardIDsThatComeBackAreNotDeletedUnsent(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{10, inflight.MinRun + 10} { // deleted one by one, and as a run
		scenario := func(t *testing.T, db dbtest.Database, naive bool) (lost int) {
			b := newBench(t, db)
			b.cfg.sweepEvery = time.Hour // the sweep would notice it too, but here the delete must
			if naive {
				b.naive = func(s database) database { return byIDAlone{s, db} }
			}
			b.sink.hold = true
			stop := b.start()
			b.commit("k", numbered("old", rows)...)
			eventually(t, "the old events are published", func() bool { return b.sink.count() == rows })
			b.resetIDs()
			b.commit("k", numbered("new", rows)...)
			b.sink.release()
			eventually(t, "the table is empty", b.empty)
			require.NoError(t, stop())
			for _, v := range numbered("new", rows) {
				if !contains(b.sink.values(), v) {
					lost++
				}
			}
			return lost
		}
		t.Run(fmt.Sprint(rows, " rows"), func(t *testing.T) {
			dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
				require.Zero(t, scenario(t, db, false), "events lost")
			})
			t.Run("without the rule", func(t *testing.T) {
				require.NotZero(t, scenario(t, dbtest.Migrate(t, dbtest.SQLite(t)), true),
					"the scenario does not catch the naive way")
			})
		})
	}
}

func numbered(prefix string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(prefix, i+1)
	}
	return values
}

// Hazard reused-ids, the sweep: ids went back while nothing was in flight, so that new rows are below the
// head and outside every gap.
func TestHazardRowsBelowTheHeadAreFoundByTheSweep(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.sweepEvery = 10 * time.Millisecond
		stop := b.start()
		b.commit("k", numbered("old", 100)...)
		eventually(t, "the old events are delivered", func() bool { return b.sink.count() == 100 && b.empty() })
		b.resetIDs()
		b.commit("k", numbered("k", 50)...)
		eventually(t, "the new events are delivered", func() bool { return b.sink.count() == 150 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}

// Hazard reused-ids, at claim: a restore without its sequences.
func TestHazardASequenceBelowTheHighestIDIsRefused(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	b := newBench(t, db)
	b.commit("k", numbered("k", 20)...)
	b.exec("SELECT setval('outbox_events_id_seq', 5)")
	err := b.relay().Run(t.Context())
	require.ErrorIs(t, err, store.ErrSequenceBehind)
	require.ErrorContains(t, err, "setval('outbox_events_id_seq', 20)")
	require.Zero(t, b.sink.count())
}

// spanning deletes one range from the lowest delivered id to the highest.
type spanning struct{ database }

func (s spanning) Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error) {
	var run store.Run
	for _, r := range d.Runs {
		if run.Lo == 0 || r.Lo < run.Lo {
			run.Lo = r.Lo
		}
		if r.Last.ID > run.Last.ID {
			run.Last = r.Last
		}
	}
	for _, e := range d.Events {
		if run.Lo == 0 || e.ID < run.Lo {
			run.Lo = e.ID
		}
		if e.ID > run.Last.ID {
			run.Last = e
		}
	}
	return s.database.Delete(ctx, l, store.Deletion{Runs: []store.Run{run}})
}

// lateCommit commits a transaction between the acknowledgements and the delete. It prevents reads between
// that commit and the delete.
type lateCommit struct {
	database
	mu     sync.Mutex
	once   sync.Once
	commit func()
}

func (s *lateCommit) Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once.Do(s.commit)
	return s.database.Delete(ctx, l, d)
}

func (s *lateCommit) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.database.Read(ctx, q, visit)
}

// Hazard range-delete: a transaction commits an id between ids that are about to be deleted.
func TestHazardADeleteMustNotSpanAnUnacknowledgedID(t *testing.T) {
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		late := &lateCommit{}
		b.naive = func(s database) database {
			if naive {
				s = spanning{s}
			}
			late.database = s
			return late
		}
		b.sink.hold = true
		b.commit("other", numbered("before", 6)...) // too few for a run, so all are deleted together
		tx := b.begin()
		b.add(tx, "k", "late")
		b.commit("other", numbered("after", 6)...)
		late.commit = func() { require.NoError(t, tx.Commit()) }
		stop := b.start()
		eventually(t, "the others are published", func() bool { return b.sink.count() == 12 })
		b.sink.release()
		eventually(t, "the table is empty", b.empty)
		require.NoError(t, stop())
		return b.sink.values()
	}
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		require.True(t, contains(scenario(t, db, false), "late"))
	})
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
		require.False(t, contains(scenario(t, db, true), "late"), "the scenario does not catch the naive way")
	})
}

// Hazard reused-ids, the in-flight set: an id in flight has come back with another event. A set that compares
// only ids would take the new row for the old one, and leave it out until the old one is acknowledged.
func TestHazardAnIDOnItsWayThatComesBackIsNotTakenForTheOld(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.commit("k", "new")
		r := b.relay()
		k, err := r.claim(t.Context())
		require.NoError(t, err)
		s := newSession(r, k)
		s.inFlight.Add([]inflight.Entry{{ID: 1, EventID: uuid.New()}})

		_, err = s.cursor.read(t.Context(), 10, 1<<20)
		require.ErrorIs(t, err, errIDsWentBack, "by a read from the start")
		s.cursor.head = 1
		defer s.cursor.endSweep()
		s.cursor.beginSweep(t.Context())
		var swept error
		eventually(t, "the sweep has ended", func() bool {
			swept = s.cursor.stepSweep(t.Context(), 0, 1)
			return s.cursor.sweeper.running == nil
		})
		require.ErrorIs(t, swept, errIDsWentBack, "by the sweep, when no read asks for it")
	})
}

// deleting calls after when its first delete has been answered.
type deleting struct {
	database
	after func()
	once  sync.Once
}

func (d *deleting) Delete(ctx context.Context, l store.Lease, what store.Deletion) (int64, error) {
	n, err := d.database.Delete(ctx, l, what)
	d.once.Do(d.after)
	return n, err
}

// Hazard failed-delete.
// A delivered row was deleted by hand. The term ends, and Run ends with it. Rows that the session has
// delivered and not deleted are deleted now, because the next owner would send them again.
func TestARunThatEndsWithItsTurnDeletesWhatWasDelivered(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.sink.hold = true
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.naive = func(s database) database {
			return &deleting{database: s, after: func() { b.sink.release(); cancel() }}
		}
		r := b.relay()
		b.commit("k", "k1", "k2", "k3")
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		eventually(t, "all are with the broker", func() bool { return b.sink.count() == 3 })
		b.exec(
			"DELETE FROM outbox_events WHERE id = (SELECT id FROM (SELECT MIN(id) AS id FROM outbox_events) AS first)")
		b.sink.releaseFirst(2)
		require.NoError(t, <-ended)
		require.Zero(t, b.rows())
	})
}
