package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
)

func scheduledEvent(key, value string, at time.Time) outbox.Event {
	return outbox.Event{ID: uuid.New(), Topic: "t", Key: key, Payload: []byte(value), DeliverAt: at}
}

func (b *bench) schedule(events ...outbox.Event) {
	b.t.Helper()
	tx := b.begin()
	require.NoError(b.t, b.ob.Add(context.Background(), tx, events...))
	require.NoError(b.t, tx.Commit())
}

func (b *bench) scheduled() (n int) {
	b.t.Helper()
	require.NoError(b.t,
		b.db.DB.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM outbox_scheduled").Scan(&n))
	return n
}

func (b *bench) cancelScheduled(ids ...uuid.UUID) int64 {
	b.t.Helper()
	tx := b.begin()
	n, err := b.ob.Cancel(context.Background(), tx, ids...)
	require.NoError(b.t, err)
	require.NoError(b.t, tx.Commit())
	return n
}

func TestScheduledEventsAreDeliveredInTheOrderOfTheirTimes(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		soon := time.Now().Add(400 * time.Millisecond)
		cancelled := scheduledEvent("k", "cancelled", soon)
		b.schedule(
			scheduledEvent("k", "k4", soon.Add(20*time.Millisecond)),
			scheduledEvent("k", "k3", soon),
			cancelled,
			scheduledEvent("k", "k1", soon.Add(-time.Hour)),
			scheduledEvent("k", "far", soon.Add(time.Hour)),
			scheduledEvent("k", "k2", soon.Add(-time.Second)),
		)
		require.EqualValues(t, 1, b.cancelScheduled(cancelled.ID))
		var early atomic.Bool
		b.sink.verdict = func(r *Record) error {
			if string(r.Payload) == "k3" && time.Now().Before(soon) {
				early.Store(true)
			}
			return nil
		}
		stop := b.start()
		eventually(t, "all but one are delivered", func() bool { return b.sink.count() == 4 && b.empty() })
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2", "k3", "k4"}, b.sink.values())
		require.False(t, early.Load(), "delivered before its time")
		require.Equal(t, 1, b.scheduled())
	})
}

// A move wakes the reader, which may be in a long wait.
func TestAMoveWakesTheReader(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	r := b.relay()
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	defer k.cancel(nil)
	b.schedule(scheduledEvent("k", "k1", time.Now().Add(-time.Second)))
	m := newMover(r, k.keeper)
	_, err = m.move(t.Context())
	require.NoError(t, err)
	select {
	case <-r.wake:
	default:
		t.Fatal("the reader sleeps on")
	}
}

// deaf reads nothing, as if the relay died between the move and the delivery.
type deaf struct {
	database
	moved chan struct{}
	once  sync.Once
}

func (d *deaf) Read(context.Context, store.ReadQuery, func(*store.Row) bool) (store.ReadInfo, error) {
	return store.ReadInfo{}, errors.New("no answer")
}

func (d *deaf) MoveDue(ctx context.Context, l store.Lease, limit int) (int, time.Duration, error) {
	moved, next, err := d.database.MoveDue(ctx, l, limit)
	if moved > 0 {
		d.once.Do(func() { close(d.moved) })
	}
	return moved, next, err
}

func TestACrashBetweenMoveAndDeliveryLosesNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.schedule(scheduledEvent("k", "k1", time.Now().Add(-time.Second)),
			scheduledEvent("k", "k2", time.Now().Add(-time.Millisecond)))
		first := &deaf{moved: make(chan struct{})}
		b.naive = func(s database) database { first.database = s; return first }
		stop := b.start()
		<-first.moved
		_ = stop()
		require.Zero(t, b.scheduled())
		require.Equal(t, 2, b.rows())

		b.naive = nil
		b.exec("UPDATE outbox_leases SET owner = NULL, expires_at = NULL")
		stop = b.start()
		eventually(t, "they are delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	})
}

// brokenMoves fails while it is set.
type brokenMoves struct {
	database
	err    atomic.Pointer[error]
	failed atomic.Int64
}

func (m *brokenMoves) MoveDue(ctx context.Context, l store.Lease, limit int) (int, time.Duration, error) {
	if err := m.err.Load(); err != nil {
		m.failed.Add(1)
		return 0, time.Millisecond, *err
	}
	return m.database.MoveDue(ctx, l, limit)
}

func TestAnOutageOfTheMovesIsToldOnceAndStopsNothingElse(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	moves, failure := &brokenMoves{}, errors.New("no answer")
	moves.err.Store(&failure)
	b.naive = func(s database) database { moves.database = s; return moves }
	log := &lines{}
	r := b.relay()
	r.log = slog.New(log)
	r.health = health.New(r.log)
	b.schedule(scheduledEvent("k", "scheduled", time.Now()))
	stop := start(t, r)
	eventually(t, "moves fail", func() bool { return moves.failed.Load() > 5 })
	b.commit("k", "direct")
	eventually(t, "others are delivered", func() bool { return b.sink.count() == 1 })
	require.Equal(t, 1, log.count("delivery paused"))
	require.Zero(t, log.count("delivery resumed"))
	moves.err.Store(nil)
	eventually(t, "it is delivered", func() bool { return b.sink.count() == 2 })
	// The reader may find the event before the move has returned, and a stop between the two would log
	// nothing.
	eventually(t, "it is told", func() bool { return log.count("delivery resumed") > 0 })
	require.NoError(t, stop())
	require.Equal(t, []string{"direct", "scheduled"}, b.sink.values())
	require.Equal(t, 1, log.count("delivery resumed"))
}

// Hazard paused-mover.
// An error that says that the lease is lost ends the term, and the next term moves.
func TestAMoverThatLostItsLeaseEndsTheTurn(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	moves, lost := &brokenMoves{}, error(store.ErrLeaseLost)
	moves.err.Store(&lost)
	b.naive = func(s database) database { moves.database = s; return moves }
	r := b.relay()
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	newMover(r, k.keeper).run(t.Context())
	require.ErrorIs(t, context.Cause(k.ctx), store.ErrLeaseLost)
}

// The tables have the previous version. Everything else works, and one line of the log says what to do.
func TestWithoutTheTableScheduledEventsAreOffUntilItIsThere(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, dbtest.Migrate(t, db))
		for _, table := range []string{"outbox_scheduled", "outbox_archive", "outbox_relays", "outbox_drops"} {
			b.exec("DROP TABLE " + table)
		}
		b.exec("DROP INDEX outbox_parked_asked_idx" +
			map[sqldb.Dialect]string{sqldb.MySQL: " ON outbox_parked"}[db.Dialect])
		b.exec("DELETE FROM postroom_schema WHERE version = 3")
		log := &lines{}
		r := b.relay()
		r.log = slog.New(log)
		r.health = health.New(r.log)
		stop := start(t, r)
		b.commit("k", "k1")
		eventually(t, "other events are delivered", func() bool { return b.sink.count() == 1 && b.empty() })
		eventually(t, "it is told", func() bool { return log.count("scheduled events are off") > 0 })
		require.NoError(t, stop())

		k, err := r.claim(t.Context())
		require.NoError(t, err)
		defer k.cancel(nil)
		m := newMover(r, k.keeper)
		m.offFor = time.Millisecond
		var moving sync.WaitGroup
		moving.Go(func() { m.run(t.Context()) })
		defer moving.Wait()
		defer k.cancel(nil)
		_, err = migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{})
		require.NoError(t, err)
		b.schedule(scheduledEvent("k", "k2", time.Now()))
		eventually(t, "it is moved", func() bool { return b.rows() == 1 })
		require.Equal(t, 1, log.count("scheduled events are off"))
		require.Equal(t, 2, log.count("relay migrate up"), "for this, and for the spread over relays")
		require.Zero(t, log.count("delivery paused"))
	})
}

// Large events make transactions long, so a transaction has fewer of them.
func TestTheSizeOfAMoveFollowsItsTime(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	r := b.relay()
	slow := &timedMoves{database: r.store}
	r.store = slow
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	defer k.cancel(nil)
	m := newMover(r, k.keeper)
	for range 5 {
		_, err := m.move(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, []int{100, 200, 400, 800, 1000}, slow.limits)
	slow.fails = true
	for range 12 {
		_, err := m.move(t.Context())
		require.Error(t, err)
	}
	require.Equal(t, 1, m.limit)
}

// timedMoves moves as many events as it is told at once, or fails.
type timedMoves struct {
	database
	limits []int
	fails  bool
}

func (s *timedMoves) MoveDue(_ context.Context, _ store.Lease, limit int) (int, time.Duration, error) {
	s.limits = append(s.limits, limit)
	if s.fails {
		return 0, time.Millisecond, errors.New("no")
	}
	return limit, time.Millisecond, nil
}

// Hazard cancel-race.
// The model schedules 1,000 events for the next seconds while three relays take over from one another. Some
// events are cancelled, and for some the cancelling rolls back. Then
//
//   - an event whose Cancel returned 1 and committed was never delivered;
//   - every other event was delivered;
//   - first copies of a key arrived in the order of (deliver_at, order of Add).
func TestEveryScheduledEventIsDeliveredOrCancelled(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		const events, keys = 1000, 20
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		b := newBench(t, db)
		all := make([]outbox.Event, events)
		begin := time.Now()
		for i := range all {
			key := fmt.Sprint("k", random.IntN(keys), "-")
			at := begin.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
			all[i] = scheduledEvent(key, fmt.Sprint(key, i), at)
		}
		b.schedule(all...) // in one transaction, so that no event becomes visible after a later one was moved

		ctx, done := context.WithCancel(t.Context())
		var relays sync.WaitGroup
		for range 3 {
			relays.Go(func() { _ = b.relay().Run(ctx) })
		}
		// Take the lease from its owner now and then, but only after a row has left since the last time.
		// Otherwise the relays of a busy machine would only claim it.
		relays.Go(func() {
			for before := math.MaxInt; pacing.Sleep(ctx, 200*time.Millisecond, nil); {
				var left int
				err := b.db.DB.QueryRowContext(ctx,
					"SELECT (SELECT COUNT(*) FROM outbox_scheduled) + (SELECT COUNT(*) FROM outbox_events)").Scan(&left)
				if err == nil && left < before {
					before = left
					_, _ = b.db.DB.ExecContext(ctx, "UPDATE outbox_leases SET owner = NULL, expires_at = NULL")
				}
			}
		})
		cancelled := map[uuid.UUID]bool{}
		for i, at := range random.Perm(events)[:300] {
			tx := b.begin()
			n, err := b.ob.Cancel(context.Background(), tx, all[at].ID)
			require.NoError(t, err)
			if i%3 == 0 {
				require.NoError(t, tx.Rollback())
				continue
			}
			require.NoError(t, tx.Commit())
			cancelled[all[at].ID] = n == 1
		}
		eventually(t, "everything is delivered or cancelled", func() bool { return b.scheduled() == 0 && b.empty() })
		done()
		relays.Wait()

		slices.SortStableFunc(all, func(x, y outbox.Event) int { return x.DeliverAt.Compare(y.DeliverAt) })
		var want []string
		for _, e := range all {
			if !cancelled[e.ID] {
				want = append(want, string(e.Payload))
			}
		}
		got := b.sink.firstCopies()
		require.Len(t, got, len(want), "lost, or delivered though cancelled")
		for key := range keys {
			of := func(values []string) (mine []string) {
				prefix := fmt.Sprint("k", key, "-")
				for _, v := range values {
					if len(v) > len(prefix) && v[:len(prefix)] == prefix {
						mine = append(mine, v)
					}
				}
				return mine
			}
			require.Equal(t, of(want), of(got))
		}
	})
}
