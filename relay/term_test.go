package relay

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// Hazard rejected-batch.
// A sink's error is about a batch: of 60 records it rejects the 20th, and all that follow with it. Only the
// row that is rejected alone may be named.
func TestARejectionHaltsTheSourceAndNamesTheRowAtFault(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.OnRejection = Halt
		refused := errors.New("too large")
		b.sink.verdict = func(r *Record) error {
			if string(r.Payload) == "k20" {
				return Rejected(refused)
			}
			return nil
		}
		b.sink.blame = Rejected(refused)
		b.commit("k", numbered("k", 60)...)
		err := b.relay().Run(t.Context())

		var rejected *RejectedError
		require.ErrorAs(t, err, &rejected)
		require.ErrorIs(t, err, refused)
		require.EqualValues(t, 20, rejected.ID)
		require.Equal(t, "t", rejected.Topic)
		require.Equal(t, numbered("k", 19), b.sink.values(), "what came before it is delivered, once")
		require.Equal(t, 41, b.rows(), "the row at fault and all that follow stay")

		var hints string
		require.NoError(t, db.DB.QueryRow("SELECT hints FROM outbox_leases").Scan(&hints))
		require.Contains(t, hints, "too large", "the lease row says why the source stopped")

		b.sink.verdict = nil
		stop := b.start()
		eventually(t, "once the cause is mended, the rest is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 60), b.sink.values())
		require.NoError(t, db.DB.QueryRow("SELECT hints FROM outbox_leases").Scan(&hints))
		require.NotContains(t, hints, "too large", "a claim clears the reason")
	})
}

// away fails every delete while it is set.
type away struct {
	database
	broken atomic.Bool
	failed *atomic.Int64 // if not nil, counts the deletes that failed
}

func (s *away) Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error) {
	if s.broken.Load() {
		if s.failed != nil {
			s.failed.Add(1)
		}
		return 0, errors.New("connection refused")
	}
	return s.database.Delete(ctx, l, d)
}

func (s *away) DeleteDelivered(ctx context.Context, l store.Lease, rows []store.Delivered) (int64, error) {
	if s.broken.Load() {
		return s.Delete(ctx, l, store.Deletion{})
	}
	return s.database.DeleteDelivered(ctx, l, rows)
}

func TestAFailedDeleteIsTriedAgainAndNothingIsSentTwice(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		gone := &away{}
		gone.broken.Store(true)
		b.naive = func(s database) database { gone.database = s; return gone }
		stop := b.start()
		b.commit("k", numbered("k", 10)...)
		eventually(t, "they are published", func() bool { return b.sink.count() == 10 })
		gone.broken.Store(false)
		eventually(t, "they are deleted", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 10), b.sink.values())
	})
}

func TestWhatAnEarlierTurnDeliveredIsDeletedNotSentAgain(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		gone := &away{}
		gone.broken.Store(true)
		b.naive = func(s database) database { gone.database = s; return gone }
		r := b.relay()
		var turn atomic.Pointer[term]
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.commit("k", numbered("k", 10)...)
		k, err := r.claim(ctx)
		require.NoError(t, err)
		turn.Store(k)
		done := make(chan struct{})
		go func() { defer close(done); _, _ = r.runTerm(ctx, k) }()
		eventually(t, "they are published", func() bool { return b.sink.count() == 10 })
		k.endAtOnce(errLeaseExpired)
		<-done
		require.Equal(t, 10, b.rows())
		require.Len(t, r.leftover.events, 10)

		gone.broken.Store(false)
		require.NoError(t, newStore(t, db).HandOver(ctx, k.lease, uuid.Nil))
		stop := start(t, r)
		eventually(t, "they are deleted", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 10), b.sink.values())
	})
}

// hanging never answers a renewal.
type hanging struct{ database }

func (hanging) Renew(ctx context.Context, _ store.Lease, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// Hazard paused-owner.
func TestALeaseThatCannotBeRenewedEndsTheTurnBeforeItExpires(t *testing.T) {
	began := time.Now()
	ttl := 500 * time.Millisecond
	k := newKeeper(context.Background(), hanging{}, store.Lease{}, ttl, began)
	k.renewLoop(func() {}) // returns when the term has ended
	require.ErrorIs(t, context.Cause(k.ctx), errLeaseExpired)
	require.True(t, k.deadline().Before(began.Add(ttl)))
	require.False(t, k.valid())
}

// Hazard paused-owner.
func TestAnOwnerThatWasPausedPastItsLeasePublishesNothing(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	b := newBench(t, db)
	r := b.relay()
	k := newTerm(newKeeper(context.Background(), r.store, store.Lease{}, time.Second, time.Now().Add(-time.Hour)))
	s := newSession(r, k)
	var err error
	s.sink, err = b.sink.Open(t.Context(), s.ack)
	require.NoError(t, err)
	s.deliver(t.Context(), s.isolation.holdBack(t.Context(), []*Record{{ID: 1}}))
	require.Zero(t, b.sink.count())
	require.ErrorIs(t, context.Cause(k.ctx), errLeaseExpired)
}

func TestWhatIsInFlightStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	for _, each := range []struct {
		name  string
		limit func(*Config)
		want  int
	}{
		{"by number", func(c *Config) { c.MaxInFlight, c.BatchSize = 100, 30 }, 100},
		{"by bytes", func(c *Config) { c.MaxInFlightBytes = 50 * (recordOverhead + 1) }, 60},
	} {
		t.Run(each.name, func(t *testing.T) {
			dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
				b := newBench(t, db)
				each.limit(&b.cfg)
				b.sink.hold = true
				b.commit("k", numbered("k", 500)...)
				stop := b.start()
				most := 0
				eventually(t, "the sink has what one lane may hold", func() bool {
					most = max(most, b.sink.count())
					return b.sink.count() >= each.want/3 // one lane takes at most half of the window
				})
				b.sink.mu.Lock()
				most = max(most, len(b.sink.held))
				b.sink.mu.Unlock()
				require.LessOrEqual(t, most, each.want)
				b.sink.release()
				eventually(t, "all are delivered", b.empty)
				require.NoError(t, stop())
				require.Equal(t, numbered("k", 500), b.sink.values())
			})
		})
	}
}

func TestStartAndStopAtAnyMoment(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	b := newBench(t, db)
	b.commit("k", numbered("k", 200)...)
	b.cfg.BatchSize = 3
	r := b.relay()
	for i := range 30 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
		require.NoError(t, r.Run(ctx))
		cancel()
	}
	stop := start(t, r)
	eventually(t, "all are delivered", b.empty)
	require.NoError(t, stop())
	require.Equal(t, numbered("k", 200), b.sink.values(), "stops in good order cost neither loss nor duplicate")
}

func TestRunTwiceAtATimeIsRefused(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	r := b.relay()
	stop := start(t, r)
	eventually(t, "it runs", r.running.Load)
	require.ErrorContains(t, r.Run(t.Context()), "running already")
	require.NoError(t, stop())
}

func TestMissingTablesSayWhatToRun(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		err := newBench(t, db).relay().Run(t.Context())
		require.ErrorIs(t, err, ErrNotMigrated)
		require.ErrorContains(t, err, "relay migrate up")
	})
}

func TestAConfigNamesEveryFieldThatIsWrong(t *testing.T) {
	_, err := New(Config{
		Dialect: "oracle", LeaseTTL: time.Millisecond, PollMax: time.Hour, BatchSize: 10, MaxInFlight: 5,
		TablePrefix: "Bad", RetryMin: time.Hour, RetryMax: time.Second,
	})
	for _, field := range []string{"DB", "Sink", `"oracle"`, "LeaseTTL", "PollMax", "BatchSize", "RetryMin"} {
		require.ErrorContains(t, err, field)
	}
}

func TestAWakeUpCutsAWaitShort(t *testing.T) {
	r := &Relay{wake: make(chan struct{}, 1)}
	r.Wake()
	r.Wake() // never blocks
	began := time.Now()
	require.True(t, pacing.Sleep(t.Context(), time.Hour, r.wake))
	require.Less(t, time.Since(began), time.Hour)
}

// If a read is cut, the server has sent the rows behind the cut for nothing. So reads of large rows ask for
// few.
func TestReadsOfLargeRowsAskForFew(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	b := newBench(t, db)
	b.cfg.MaxInFlightBytes = 1 << 20
	large := strings.Repeat("x", 100<<10)
	tx := b.begin()
	for range 40 {
		b.add(tx, "k", large)
	}
	require.NoError(t, tx.Commit())
	r := b.relay()
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	s := newSession(r, k)
	first, err := s.cursor.read(t.Context(), firstRead, 1<<20)
	require.NoError(t, err)
	require.Len(t, first.records, 11, "one more than fit, because the last is known only once it is read")
	require.Equal(t, int64(100<<10+recordOverhead+len("t")+len("k")), s.cursor.typical)
}
