package relay

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// An owner was paused with a transaction that it can still commit, and the next owner is in at-least-once
// mode. That one fences the paused owner and deletes the rows that were sent too. Otherwise the paused owner
// would commit without its knowledge (hazard mode-switch).
func TestAChangeOfModeRunsTheStartOfExactlyOnceFirst(t *testing.T) {
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.commit("k", "k1")
		b.crash("k1")
		b.commit("k", "k2")
		paused, resume := make(chan struct{}), make(chan struct{})
		zombie := b.relay()
		k, err := zombie.claim(context.Background())
		require.NoError(t, err)
		b.broker.beforeCommit = func() error { close(paused); <-resume; return nil }
		done := make(chan struct{})
		go func() { defer close(done); _, _ = zombie.runTerm(context.Background(), k) }()
		<-paused
		b.expireLease()
		b.broker.mu.Lock()
		b.broker.beforeCommit = nil
		b.broker.mu.Unlock()

		b.cfg.Mode = AtLeastOnce
		stop := b.start()
		eventually(t, "all is delivered", b.empty)
		k.endAtOnce(errLeaseExpired)
		close(resume)
		<-done
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.broker.values())
		require.Equal(t, "at-least-once", b.mode())

		b.cfg.Mode = ExactlyOnce
		stop = b.start()
		eventually(t, "the mode is kept", func() bool { return b.mode() == "exactly-once" })
		require.NoError(t, stop())
	})
}

func (b *bench) mode() string {
	b.t.Helper()
	var mode sql.NullString
	require.NoError(b.t, b.db.DB.QueryRowContext(context.Background(), "SELECT mode FROM outbox_leases").Scan(&mode))
	return mode.String
}

func TestASinkWithoutTransactionsCannotFollowOneThatHadThem(t *testing.T) {
	b := newExactly(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	stop := b.start()
	eventually(t, "the mode is kept", func() bool { return b.mode() == "exactly-once" })
	require.NoError(t, stop())
	b.cfg.Mode = AtLeastOnce
	err := b.bench.relay().Run(t.Context()) // on the bench's own sink
	require.ErrorIs(t, err, ErrUnusable)
	require.ErrorContains(t, err, "once more with the Kafka that it used")
}

// A relay of a copied database fences this one again and again, without ever holding its lease
// (hazard cloned-database).
func TestARelayThatIsShutOutAgainAndAgainStopsAndSaysWhy(t *testing.T) {
	b := newExactly(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.broker.beforeCommit = func() error {
		b.broker.mu.Lock()
		defer b.broker.mu.Unlock()
		b.broker.epoch++
		return nil
	}
	b.commit("k", "k1")
	err := b.relay().Run(t.Context())
	require.ErrorIs(t, err, ErrFenced)
	require.ErrorContains(t, err, "relay source new-identity")
	require.Empty(t, b.broker.values())
}

func TestARelayThatIsShutOutOnceGoesOn(t *testing.T) {
	b := newExactly(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	var once atomic.Bool
	b.broker.beforeCommit = func() error {
		b.broker.mu.Lock()
		defer b.broker.mu.Unlock()
		if !once.Swap(true) {
			b.broker.epoch++
		}
		return nil
	}
	b.commit("k", "k1", "k2")
	stop := b.start()
	eventually(t, "all is delivered", b.empty)
	require.NoError(t, stop())
	require.Equal(t, []string{"k1", "k2"}, b.broker.values())
}

// Hazard cloned-database.
// A successor fences its predecessor, as it should. That is not a second database.
func TestToBeShutOutByASuccessorIsNoReasonToStop(t *testing.T) {
	b := newExactly(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	r := b.relay()
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	b.expireLease()
	successor, err := b.relay().claim(t.Context())
	require.NoError(t, err)
	require.NotNil(t, successor)
	var count, own fencings
	for range 2 * fencedTooOften {
		require.NoError(t, r.fatal(k.keeper, &count, ErrFenced))
		err = r.fatal(successor.keeper, &own, ErrFenced)
	}
	require.ErrorIs(t, err, ErrUnusable)
}
