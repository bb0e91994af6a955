package relay

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

func TestARetrySendsTheKeyInOrderBeforeItsNewerEventsAndUnblocksIt(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		moved := &moves{}
		b.naive = func(s database) database { moved.database = s; return moved }
		b.refuse("k1")
		b.commit("k", numbered("k", 4)...)
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")
		b.refuse()
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		before := moved.count.Load()
		b.commit("k", "k5")
		b.published(numbered("k", 5)...)
		require.NoError(t, stop())
		require.Equal(t, before, moved.count.Load(), "k5 did not go aside")
	})
}

func TestARetryThatIsRefusedAgainLeavesTheKeyAsItWas(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1", "k3")
		b.commit("k", numbered("k", 4)...)
		b.commit("", "free")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")
		b.ask("retry", "state = 'failed'")
		eventually(t, "it was tried again", func() bool { return b.attempts(t, "k1") == 2 })
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")

		b.refuse("k3")
		b.ask("retry", "state = 'failed'")
		b.parkedAre("k3 failed", "k4 blocked")
		require.Equal(t, []string{"free", "k1", "k2"}, b.sink.values())
		b.refuse()
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []string{"free", "k1", "k2", "k3", "k4"}, b.sink.values())
	})
}

func (b *bench) attempts(t *testing.T, value string) (n int) {
	t.Helper()
	rows, err := b.db.DB.QueryContext(context.Background(), "SELECT payload, attempts FROM outbox_parked")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		var attempts int
		require.NoError(t, rows.Scan(&payload, &attempts))
		if string(payload) == value {
			n = attempts
		}
	}
	require.NoError(t, rows.Err())
	return n
}

func TestADroppedHeadIsRecordedAndItsFollowersAreSent(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1")
		b.commit("k", numbered("k", 3)...)
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked")
		b.ask("drop", "state = 'failed'")
		b.parkedAre()
		b.commit("k", "k4")
		b.published("k2", "k3", "k4")
		require.NoError(t, stop())
		var dropped int
		require.NoError(t, db.DB.QueryRow("SELECT COUNT(*) FROM outbox_drops WHERE topic = 't'").Scan(&dropped))
		require.Equal(t, 1, dropped)
	})
}

// coming commits more events of a key before each look for parked events to send again.
type coming struct {
	database
	commit func()
	rounds atomic.Int64
}

func (c *coming) Replayable(ctx context.Context, limit int, take func(*store.ParkedRow) bool) error {
	c.rounds.Add(1)
	c.commit()
	return c.database.Replayable(ctx, limit, take)
}

// Hazard unblock-race.
// A replay catches up with a key whose events keep coming. New events are parked behind the rest, so the
// rounds of a replay must grow faster than new events come. Nothing may be read between the replay of the
// last parked rows and the unblocking.
func TestAKeyThatKeepsComingIsUnblocked(t *testing.T) {
	const waiting, atOnce, most = 1000, 100, 40
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.refuse("k1")
	values := numbered("k", waiting)
	b.commit("k", values...)
	stop := b.start()
	eventually(t, "all are parked", func() bool { return len(b.parked()) == waiting })
	require.NoError(t, stop())
	b.refuse()
	b.ask("retry", "state = 'failed'")
	writers := &coming{}
	writers.commit = func() {
		if writers.rounds.Load() <= most {
			more := numbered("k", len(values)+atOnce)[len(values):]
			values = append(values, more...)
			b.commit("k", more...)
		}
	}
	b.naive = func(s database) database { writers.database = s; return writers }
	stop = b.start()
	eventually(t, "the key is unblocked", func() bool { return len(b.parked()) == 0 })
	require.NoError(t, stop())
	require.LessOrEqual(t, writers.rounds.Load(), int64(most), "while events come")
	stop = b.start()
	b.published(values...)
	require.NoError(t, stop())
}

// idleLooks counts the looks that find no request.
type idleLooks struct {
	database
	n atomic.Int64
}

func (l *idleLooks) DropRequested(ctx context.Context, lease store.Lease, limit int) (store.Drops, error) {
	drops, err := l.database.DropRequested(ctx, lease, limit)
	if err == nil && !drops.Requests {
		l.n.Add(1)
	}
	return drops, err
}

func TestARetryOfEventsThatWouldBeRefusedAgainIsOneLineInTheLog(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		looks := &idleLooks{}
		b.naive = func(s database) database { looks.database = s; return looks }
		r := b.relay()
		log := &lines{}
		r.log = slog.New(log)
		r.cfg.Sink = &judging{b.sink, func(*Record) error { return errRefused }}
		b.commit("", numbered("x", 20)...)
		stop := start(t, r)
		tried := func(times int) func() bool {
			return func() bool { return b.attempts(t, "x20") >= times }
		}
		eventually(t, "they are parked", tried(1))
		b.ask("retry", "state = 'failed'")
		eventually(t, "they were judged again", tried(2))
		require.Equal(t, 1, log.count("would be rejected again"))
		before := looks.n.Load()
		eventually(t, "the wish was granted", func() bool { return looks.n.Load() > before })
		b.ask("retry", "state = 'failed'")
		eventually(t, "a later request is logged, too",
			func() bool { return log.count("would be rejected again") == 2 })
		require.NoError(t, stop())
	})
}

func TestWhatWasReplayedIsDeletedNotSentAgainWhenTheDeleteFails(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		lossy := &answerless{}
		b.naive = func(s database) database { lossy.database = s; return lossy }
		b.refuse("k1")
		b.commit("k", "k1", "k2")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked")
		b.refuse()
		lossy.lose.Store(true)
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	})
}
