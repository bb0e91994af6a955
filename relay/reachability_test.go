package relay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// dimSink can lose its connection to the broker.
type dimSink struct {
	testSink
	dark   atomic.Bool
	silent atomic.Bool  // while it is dark, a check gets no answer
	checks atomic.Int64 // number of checks that failed
}

var errDark = errors.New("no route to the broker")

func newDimSink() *dimSink {
	s := &dimSink{}
	s.verdict = func(*Record) error {
		if s.dark.Load() {
			return errDark
		}
		return nil
	}
	return s
}

func (s *dimSink) Check(ctx context.Context) error {
	if s.dark.Load() {
		s.checks.Add(1)
		if s.silent.Load() {
			<-ctx.Done()
		}
		return errDark
	}
	return nil
}

// dimRelay is a process of its own with a sink of its own, and with times that a test can wait for.
func (b *bench) dimRelay() (*Relay, *dimSink) {
	sink := newDimSink()
	r, err := New(Config{
		DB: b.db.DB, Dialect: b.db.Dialect, Sink: sink, LeaseTTL: cmp.Or(b.ttl, 2*time.Second),
		Logger:   slog.New(slog.DiscardHandler),
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		unreachableAfter: 100 * time.Millisecond, unreachableGrace: time.Second, sinkCheckEvery: 20 * time.Millisecond,
		sinkCheckTimeout: 3 * time.Second, // longer than a heartbeat counts as fresh
	})
	require.NoError(b.t, err)
	return r, sink
}

// dimPair returns an owner of the source, with its sink, and a relay that waits, with its own sink.
func (b *bench) dimPair() (owner *Relay, first *dimSink, waiting *Relay, second *dimSink, stop func() error) {
	b.t.Helper()
	owner, first = b.dimRelay()
	start(b.t, owner)
	eventually(b.t, "the first one owns the source", func() bool { return owner.cfg.Member.Owned() == 1 })
	waiting, second = b.dimRelay()
	return owner, first, waiting, second, start(b.t, waiting)
}

func (b *bench) epoch() (epoch int) {
	b.t.Helper()
	require.NoError(b.t, b.db.DB.QueryRowContext(b.t.Context(), "SELECT epoch FROM outbox_leases").Scan(&epoch))
	return epoch
}

func TestARelayThatCannotReachItsSinkHandsOverToOneThatCan(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		blind, dark, sighted, bright, stop := b.dimPair()
		dark.dark.Store(true)
		b.commit("k", "k1")
		settles(t, "the other one delivers", func() bool { return len(bright.values()) == 1 })
		require.Equal(t, []string{"k1"}, bright.values())
		require.Equal(t, 1, sighted.cfg.Member.Owned())
		settles(t, "the first one has given it up", func() bool { return blind.cfg.Member.Owned() == 0 })

		// It owns fewer sources, but gets none. If no other process is left, it claims a free one.
		epoch, checks := b.epoch(), dark.checks.Load()
		settles(t, "it goes on looking", func() bool { return dark.checks.Load() > checks+10 })
		require.Equal(t, epoch, b.epoch())
		require.NoError(t, stop())
		settles(t, "nobody else is there", func() bool { return blind.cfg.Member.Owned() == 1 })
		dark.dark.Store(false)
		b.commit("k", "k2")
		settles(t, "it delivers again",
			func() bool { return len(dark.values()) > 0 && dark.values()[len(dark.values())-1] == "k2" })
	})
}

// A check that gets no answer takes longer than heartbeats stay fresh. So the owner must read them again
// before it decides which process gets the source.
func TestARelayWhoseSinkDoesNotAnswerHandsOverToo(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		_, dark, sighted, bright, _ := b.dimPair()
		dark.silent.Store(true)
		dark.dark.Store(true)
		b.commit("k", "k1")
		settles(t, "the other one delivers", func() bool { return len(bright.values()) == 1 })
		require.Equal(t, 1, sighted.cfg.Member.Owned())
	})
}

// In an outage of the broker itself a hand-over would only give up unacknowledged records.
func TestInAnOutageOfTheBrokerEveryRelayKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.ttl = 5 * time.Second // long enough that a busy machine does not lose it
		owner, first, _, second, _ := b.dimPair()
		settles(t, "the owner has heard of the other", func() bool { return owner.assignment.OthersHeard(time.Now()) })
		epoch := b.epoch()
		first.dark.Store(true)
		second.dark.Store(true)
		b.commit("k", "k1")
		settles(t, "both look for long", func() bool { return first.checks.Load() > 3 && second.checks.Load() > 10 })
		require.Equal(t, epoch, b.epoch())
		first.dark.Store(false)
		second.dark.Store(false)
		settles(t, "it goes on", func() bool { return len(first.values()) > 0 && b.empty() })
		require.Equal(t, epoch, b.epoch())
		require.Empty(t, second.values())
	})
}
