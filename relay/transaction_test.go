package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// exactly is a bench whose relays are in exactly-once mode, with a broker that has transactions.
type exactly struct {
	*bench
	broker *txBroker
}

func newExactly(t *testing.T, db dbtest.Database) *exactly {
	b := newBench(t, db)
	b.cfg.Mode = ExactlyOnce
	b.cfg.confirmEvery = time.Millisecond
	return &exactly{b, &txBroker{}}
}

func (b *exactly) relay() *Relay {
	b.t.Helper()
	mode := b.cfg.Mode
	b.cfg.Mode = "" // the bench's own sink has no transactions
	r := b.bench.relay()
	b.cfg.Mode = mode
	r.cfg.Mode, r.cfg.Sink = mode, b.broker
	return r
}

func (b *exactly) start() (stop func() error) { b.t.Helper(); return start(b.t, b.relay()) }

func eachExactly(t *testing.T, f func(t *testing.T, b *exactly)) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) { f(t, newExactly(t, db)) })
}

// stuck never deletes, like a process that is killed after each commit.
type stuck struct{ database }

func (s stuck) Delete(context.Context, store.Lease, store.Deletion) (int64, error) {
	return 0, errors.New("connection refused")
}

// crash runs a relay until the broker has all values, and ends it as a crash does: nothing is deleted, and
// the lease is not released.
func (b *exactly) crash(values ...string) {
	b.t.Helper()
	r := b.relay()
	r.store = stuckArchive{stuck{r.store}}
	k, err := r.claim(context.Background())
	require.NoError(b.t, err)
	require.NotNil(b.t, k)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = r.runTerm(context.Background(), k) }()
	eventually(b.t, "they are committed", func() bool { return len(b.broker.values()) >= len(values) })
	k.endAtOnce(errLeaseExpired)
	<-done
	require.Equal(b.t, values, b.broker.values())
	b.expireLease()
}

// expireLease lets the next relay claim at once.
func (b *bench) expireLease() { b.exec("UPDATE outbox_leases SET expires_at = NULL") }

func TestWhatACommittedTransactionHoldsIsDeletedNotSentAgain(t *testing.T) {
	t.Parallel()
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.commit("k", numbered("k", 3)...)
		b.crash(numbered("k", 3)...)
		require.Equal(t, 3, b.rows(), "the crash came before the delete")
		b.commit("k", "k4")
		stop := b.start()
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 4), b.broker.values())
	})
}

// walks counts the walks over the parked rows for events that manifests name.
type walks struct {
	database
	count atomic.Int64
}

func (w *walks) FindSentParked(ctx context.Context, sent *store.SentEvents,
	after int64) ([]store.DeliveredParked, int64, bool, error) {
	if after == 0 {
		w.count.Add(1)
	}
	return w.database.FindSentParked(ctx, sent, after)
}

// The row ids of parked events have no index, so a start looks through all parked rows: once, and not once
// for each manifest.
func TestAStartWalksTheParkedRowsOnceForAllManifests(t *testing.T) {
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.park("k")
		b.park("j")
		var e store.Event
		require.NoError(t,
			b.db.DB.QueryRow("SELECT id, event_id FROM outbox_parked WHERE event_key = 'k'").Scan(&e.ID, &e.EventID))
		for i := range 20 {
			b.broker.manifests = append(b.broker.manifests, []Sent{{ID: e.ID + int64(i), EventID: e.EventID}})
		}
		r := b.relay()
		w := &walks{database: r.store}
		r.store = w
		stop := start(t, r)
		b.parkedAre("j failed")
		require.NoError(t, stop())
		require.EqualValues(t, 1, w.count.Load())
	})
}

func TestWithoutTheManifestsACrashWouldDuplicate(t *testing.T) {
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.commit("k", "k1")
		b.crash("k1")
		b.broker.forgetful = true
		stop := b.start()
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k1"}, b.broker.values())
	})
}

// The commit's answer is lost, so the transaction may be committed or not. Rows that were read before the
// next session fenced this one are not used again (hazard read-before-fencing).
func TestACommitWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	eachExactly(t, func(t *testing.T, b *exactly) {
		lost := errors.New("no answer")
		var commits atomic.Int64
		b.broker.afterCommit = func() error {
			if commits.Add(1) == 1 {
				return lost
			}
			return nil
		}
		b.broker.beforeCommit = func() error {
			if commits.Load() == 1 { // the next one is not committed
				commits.Add(1)
				return lost
			}
			return nil
		}
		b.commit("k", numbered("k", 5)...)
		stop := b.start()
		eventually(t, "all is delivered", b.empty)
		b.commit("k", "k6")
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 6), b.broker.values())
	})
}

// A replay brings an event back with another row id, and a restore brings another event back with an id that
// was sent. The manifest names neither of them (hazard replayed-event).
func TestOnlyTheRowWithTheEventThatWasSentIsDeleted(t *testing.T) {
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.commit("k", "k1")
		b.crash("k1")
		sent := b.broker.manifests[0][0]
		b.resetIDs()
		b.commit("k", "restored") // gets the id of k1
		b.exec("INSERT INTO outbox_events (event_id, topic, payload) VALUES ('" + sent.EventID.String() +
			"', 't', 'replayed')")
		b.broker.mu.Lock()
		b.broker.manifests[0][0].ID = 1
		b.broker.mu.Unlock()
		stop := b.start()
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "restored", "replayed"}, b.broker.values())
	})
}

// Hazard replayed-event.
// A replayed event was sent from outbox_parked, and the relay crashed before its row was deleted there.
func TestWhatWasSentOutOfTheParkedRowsIsDeletedThereToo(t *testing.T) {
	t.Parallel()
	eachExactly(t, func(t *testing.T, b *exactly) {
		refused := atomic.Bool{}
		refused.Store(true)
		b.broker.verdict = func(r *Record) error {
			if refused.Load() && string(r.Payload) == "k1" {
				return Rejected(errRefused)
			}
			return nil
		}
		b.commit("k", "k1", "k2")
		b.commit("c", "c1")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked")
		eventually(t, "the rest is delivered", b.empty)
		require.NoError(t, stop())
		var row int64
		var event uuid.UUID
		require.NoError(t,
			b.db.DB.QueryRow("SELECT id, event_id FROM outbox_parked WHERE state = 'failed'").Scan(&row, &event))

		refused.Store(false)
		b.broker.mu.Lock()
		b.broker.manifests = append(b.broker.manifests, []Sent{{ID: row, EventID: event}})
		b.broker.committed = append(b.broker.committed, published{id: row, eventID: event, value: "k1"})
		b.broker.mu.Unlock()
		stop = b.start()
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []string{"c1", "k1", "k2"}, b.broker.values())
	})
}

// The position is always behind the deletes, never ahead. If it were ahead, the next owner would skip a
// manifest whose rows are still in the table (hazard early-position).
func TestThePositionIsKeptOnlyWhenTheDeletesHaveCommitted(t *testing.T) {
	t.Parallel()
	eachExactly(t, func(t *testing.T, b *exactly) {
		gone := &away{}
		gone.broken.Store(true)
		failed := atomic.Int64{}
		gone.failed = &failed
		b.naive = func(s database) database { gone.database = s; return gone }
		b.commit("k", "k1")
		stop := b.start()
		eventually(t, "the delete was tried", func() bool { return failed.Load() > 2 })
		require.Empty(t, b.position(), "k1 is committed and not deleted")
		gone.broken.Store(false)
		eventually(t, "it is kept", func() bool { return b.position() != "" })
		require.NoError(t, stop())
		require.Zero(t, b.rows())
		require.JSONEq(t, `{"Manifests": 1}`, b.position())
	})
}

func (b *bench) position() string {
	b.t.Helper()
	var hints string
	require.NoError(b.t, b.db.DB.QueryRowContext(context.Background(), "SELECT hints FROM outbox_leases").Scan(&hints))
	return jsonField(b.t, hints, "position")
}

func TestARejectionInATransactionParksTheRowAtFaultAndSendsTheOthersOnce(t *testing.T) {
	t.Parallel()
	eachExactly(t, func(t *testing.T, b *exactly) {
		b.broker.verdict = func(r *Record) error {
			if string(r.Payload) == "bad" {
				return Rejected(errRefused)
			}
			return nil
		}
		b.commit("a", "a1")
		b.commit("k", "k1", "bad", "k2")
		b.commit("c", "c1", "c2")
		stop := b.start()
		b.parkedAre("bad failed", "k2 blocked")
		eventually(t, "the rest is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, []string{"a1", "k1", "c1", "c2"}, b.broker.values())
		require.Empty(t, b.broker.twice())
	})
}

// A rejection is about a whole transaction (hazard rejected-batch). Sending each record alone would cost a
// commit for each. With groups the faulty record is found in a few commits, and it is sent alone before it is
// parked.
func TestTheRecordAtFaultIsFoundByHalves(t *testing.T) {
	b := newExactly(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.broker.blameAll = true
	b.broker.verdict = func(r *Record) error {
		if bytes.HasPrefix(r.Payload, []byte("bad")) {
			return Rejected(errRefused)
		}
		return nil
	}
	want := []string{}
	tx := b.begin()
	for i := range 32 { // eight keys, in turn
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			value, bad := fmt.Sprint(key, i+1), key == "d" && i == 11 || key == "f" && i == 30
			switch {
			case bad:
				value = "bad " + value
				want = append(want, value+" failed")
			case key == "d" && i > 11 || key == "f" && i > 30:
				want = append(want, value+" blocked")
			}
			b.add(tx, key, value)
		}
	}
	require.NoError(t, tx.Commit())
	stop := b.start()
	eventually(t, "what can be is delivered", b.empty)
	require.NoError(t, stop())

	parked := b.parked()
	require.ElementsMatch(t, want, parked)
	require.Less(t, slices.Index(parked, "d13 blocked"), slices.Index(parked, "d32 blocked"))
	require.Empty(t, b.broker.twice())
	require.Len(t, b.broker.values(), 256-len(parked))
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		require.True(t, inOrder(b.broker.values(), key))
	}
	alone := 0
	for _, ids := range b.broker.refused {
		if len(ids) == 1 {
			alone++
		}
	}
	require.Equal(t, 2, alone, "each was refused alone, once")
	require.Less(t, len(b.broker.refused)+len(b.broker.manifests), 60, "256 records were suspected")
}
