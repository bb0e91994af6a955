package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// archiveOf lists the ids in the archive, in its order.
func (b *bench) archiveOf() (ids []int64) {
	b.t.Helper()
	rows, err := b.db.DB.QueryContext(context.Background(), "SELECT id FROM outbox_archive ORDER BY seq")
	require.NoError(b.t, err)
	defer rows.Close()
	for rows.Next() {
		var id int64
		require.NoError(b.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(b.t, rows.Err())
	return ids
}

func (b *bench) scalar(query string) (n int64) {
	b.t.Helper()
	require.NoError(b.t, b.db.DB.QueryRowContext(context.Background(), query).Scan(&n))
	return n
}

func TestDeliveredEventsAreArchivedWithTheirPosition(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive = true
		b.sink.verdict = func(r *Record) error {
			if string(r.Payload) != "k3" { // the sink does not know the position of this one
				r.SetPosition(7, 1000+r.ID)
			}
			return nil
		}
		b.commit("k", numbered("k", 5)...)
		stop := b.start()
		eventually(t, "they are delivered and moved", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 5), b.sink.values())
		require.EqualValues(t, 5, b.scalar("SELECT COUNT(*) FROM outbox_archive"))
		require.EqualValues(t, 4,
			b.scalar("SELECT COUNT(*) FROM outbox_archive WHERE kafka_partition = 7 AND kafka_offset = 1000 + id"))
		require.EqualValues(t, 1, b.scalar("SELECT COUNT(*) FROM outbox_archive WHERE kafka_partition IS NULL"))
	})
}

func TestWithoutTheSettingNothingIsArchived(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.commit("k", "k1")
	stop := b.start()
	eventually(t, "it is delivered", b.empty)
	require.NoError(t, stop())
	require.Empty(t, b.archiveOf())
}

// Hazard archive-order.
// Rows 3 to 702 are a run that is long enough to be deleted at once, before row 1, which waits for its
// neighbour. A replay uses the archive's order, so it would deliver the first event of the key last.
func TestTheArchiveKeepsTheOrderOfAKey(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive = true
		b.sink.hold = true
		b.commit("k", "k1")
		b.commit("other", "o1")
		b.commit("k", numbered("k", 701)[1:]...)
		stop := b.start()
		eventually(t, "all are on their way", func() bool { return b.sink.count() == 702 })
		b.sink.releaseBut("o1")
		eventually(t, "the key is archived", func() bool { return len(b.archiveOf()) == 701 })
		ids := b.archiveOf()
		require.IsIncreasing(t, ids)
		b.sink.release()
		eventually(t, "the last one follows", b.empty)
		require.NoError(t, stop())
	})
}

// releaseBut acknowledges the held records, except one value.
func (s *testSink) releaseBut(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []heldAck
	for _, h := range s.held {
		if string(h.record.Payload) == value {
			kept = append(kept, h)
			continue
		}
		h.session.ack(h.record, nil)
	}
	s.held = kept
}

func TestARelayThatIsToArchiveChecksItsTableAtStart(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive = true
		b.exec("DROP TABLE outbox_archive")
		b.commit("k", "k1")
		err := b.relay().Run(t.Context())
		require.ErrorContains(t, err, "run `relay migrate up`")
		require.Zero(t, b.sink.count())

		b.cfg.Archive = false
		stop := b.start()
		eventually(t, "without it the relay runs", b.empty)
		require.NoError(t, stop())
	})
}

func TestARelayThatIsToArchiveChecksItsRightsAtStart(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		rights := []string{"SELECT, INSERT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases",
			"SELECT, INSERT, UPDATE, DELETE ON outbox_parked"}
		for _, missing := range []string{"", "SELECT, INSERT", "SELECT, DELETE"} {
			b := newBench(t, db)
			b.cfg.Archive = true
			granted := append([]string{}, rights...)
			if missing != "" {
				granted = append(granted, missing+" ON outbox_archive")
			}
			b.db = dbtest.Restricted(t, db, granted...)
			err := b.relay().Run(t.Context())
			require.ErrorContains(t, err, "grant SELECT, INSERT and DELETE on outbox_archive", missing)
		}
	})
}

func TestTheArchiveIsPurgedInStepsWhileTheLeaseIsHeld(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive, b.cfg.ArchiveFor, b.cfg.purgeEvery = true, time.Hour, time.Millisecond
		b.commit("k", numbered("k", 2500)...)
		stop := b.start()
		eventually(t, "they are archived", b.empty)
		old := map[sqldb.Dialect]string{
			sqldb.PostgreSQL: "clock_timestamp() - interval '61 minutes'",
			sqldb.MySQL:      "UTC_TIMESTAMP(6) - INTERVAL 61 MINUTE",
			sqldb.SQLite:     "strftime('%Y-%m-%dT%H:%M:%f', 'now', '-61 minutes') || '000Z'",
		}[db.Dialect]
		b.exec("UPDATE outbox_archive SET delivered_at = " + old + " WHERE id <= 2400")
		eventually(t, "the old ones are gone", func() bool { return len(b.archiveOf()) == 100 })
		require.EqualValues(t, 2401, b.scalar("SELECT MIN(id) FROM outbox_archive"))
		require.NoError(t, stop())
	})
}

// unpurgeable fails to purge while it is set.
type unpurgeable struct {
	database
	broken atomic.Bool
	tried  atomic.Int64
}

func (s *unpurgeable) Purge(ctx context.Context, o store.Old, limit int) (int64, error) {
	s.tried.Add(1)
	if s.broken.Load() {
		return 0, errors.New("disk full")
	}
	return s.database.Purge(ctx, o, limit)
}

func TestAPurgeThatFailsIsToldOnceAndHoldsUpNothing(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.Archive, b.cfg.purgeEvery = true, time.Millisecond
	broken := &unpurgeable{}
	broken.broken.Store(true)
	b.naive = func(s database) database { broken.database = s; return broken }
	r := b.relay()
	log := &lines{}
	r.log = slog.New(log)
	stop := start(t, r)
	eventually(t, "it is tried again and again", func() bool { return broken.tried.Load() > 5 })
	b.commit("k", "k1")
	eventually(t, "events are delivered meanwhile", b.empty)
	broken.broken.Store(false)
	eventually(t, "its end is told", func() bool { return log.count("the archive is purged again") == 1 })
	require.NoError(t, stop())
	require.Equal(t, 1, log.count("the archive is not purged"))
}

// Hazard stale-fence.
func TestAnArchivingOwnerThatLostItsLeaseEndsItsTurnAndChangesNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive = true
		b.sink.hold = true
		r := b.relay()
		k, err := r.claim(t.Context())
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() { defer close(ended); _, _ = r.runTerm(t.Context(), k) }()
		b.commit("k", "k1")
		eventually(t, "it is on its way", func() bool { return b.sink.count() == 1 })
		// Otherwise the reader, which notes the topic in the lease row, may notice the lost lease before the
		// delete does.
		eventually(t, "its topic is noted", func() bool {
			topics, err := r.store.ReadNote(t.Context(), k.lease, store.FieldTopics)
			require.NoError(t, err)
			return len(store.ParseTopics(topics)) == 1
		})
		b.exec("UPDATE outbox_leases SET epoch = epoch + 1")
		b.sink.release()
		<-ended
		require.ErrorIs(t, context.Cause(k.ctx), store.ErrLeaseLost)
		require.Equal(t, 1, b.rows())
		require.Empty(t, b.archiveOf())
		require.Len(t, r.leftover.events, 1, "its delete is tried in the next turn")
		require.Greater(t, r.leftover.events[0].Size, int64(recordOverhead),
			"which has to know how much it moves at once")

		b.exec("UPDATE outbox_leases SET owner = NULL")
		stop := start(t, r)
		eventually(t, "the next turn archives it", b.empty)
		require.NoError(t, stop())
		require.Len(t, b.archiveOf(), 1)
		require.Equal(t, 1, b.sink.count(), "and does not send it again")
	})
}

func TestTheArchivesSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		archive bool
		keep    time.Duration
		want    string
	}{
		{true, 0, ""}, {true, time.Minute, ""}, {true, time.Second, "want at least 1m"},
		{true, -time.Hour, "want at least 1m"},
		{false, time.Hour, "without Archive"},
	} {
		b := newBench(t, dbtest.SQLite(t))
		b.cfg.Archive, b.cfg.ArchiveFor = c.archive, c.keep
		b.cfg.DB, b.cfg.Dialect, b.cfg.Sink = b.db.DB, b.db.Dialect, b.sink
		r, err := New(b.cfg)
		if c.want != "" {
			require.ErrorContains(t, err, c.want, fmt.Sprint(c))
			continue
		}
		require.NoError(t, err)
		require.Contains(t, []time.Duration{time.Minute, 7 * 24 * time.Hour}, r.cfg.ArchiveFor)
	}
}

func TestAParkedEventThatIsSentAgainIsArchivedUnderItsOldID(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.Archive = true
		b.refuse("k2")
		b.commit("k", numbered("k", 3)...)
		ids := b.scalar("SELECT MIN(id) FROM outbox_events")
		stop := b.start()
		b.parkedAre("k2 failed", "k3 blocked")
		b.sink.mu.Lock()
		b.sink.verdict = func(r *Record) error { r.SetPosition(2, 100+r.ID); return nil }
		b.sink.mu.Unlock()
		b.ask(sqldb.ParkedRetry, "state = 'failed'")
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []int64{ids, ids + 1, ids + 2}, b.archiveOf())
		require.EqualValues(t, 2,
			b.scalar("SELECT COUNT(*) FROM outbox_archive WHERE kafka_partition = 2 AND kafka_offset = 100 + id"))
	})
}

// stuckArchive never moves a row, like a process that is killed after each commit.
type stuckArchive struct{ stuck }

func (s stuckArchive) DeleteDelivered(context.Context, store.Lease, []store.Delivered) (int64, error) {
	return 0, errors.New("connection refused")
}

func TestWhatATransactionHadSentBeforeACrashIsArchivedToo(t *testing.T) {
	t.Parallel()
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.cfg.Archive = true
		b.commit("k", numbered("k", 3)...)
		b.crash(numbered("k", 3)...)
		require.Empty(t, b.archiveOf())
		stop := b.start()
		eventually(t, "the next owner finds them in the manifests", b.empty)
		require.NoError(t, stop())
		require.Len(t, b.archiveOf(), 3)
		require.Equal(t, numbered("k", 3), b.broker.values(), "and does not send them again")
	})
}
