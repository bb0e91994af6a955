package relay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

// In these tests the connections of a live relay lead to another server from one statement to the next, as
// behind a proxy or an address that moves: a standby that lagged has been promoted. It has the lease, which
// is valid there, but not the last commits.

// copied returns what a standby has of the database now.
func (db *memDB) copied() *memDB {
	db.mu.Lock()
	defer db.mu.Unlock()
	known := &memDB{nextID: db.nextID, rows: slices.Clone(db.rows), lease: db.lease, nextSeq: db.nextSeq,
		open: map[string]bool{}}
	known.lease.position = slices.Clone(db.lease.position)
	for _, p := range db.parked {
		row := *p
		known.parked = append(known.parked, &row)
	}
	return known
}

// becomes replaces the database's content with a standby's, under another server's name.
func (db *memDB) becomes(standby *memDB, server string) {
	known := standby.copied()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.server, db.nextID, db.rows, db.lease = server, known.nextID, known.rows, known.lease
	db.parked, db.nextSeq, db.open = known.parked, known.nextSeq, known.open
}

func (db *memDB) count() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.rows)
}

func (db *memDB) positionKept() string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return string(db.lease.position)
}

func (db *memDB) writeRow(value string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.nextID++
	db.insert([]store.Row{{ID: db.nextID, EventID: uuid.New(), Topic: "t", Key: []byte("k"), Payload: []byte(value)}})
}

// remembers uses the position in memory again.
type remembers struct {
	*memStore
	position []byte
}

func (s *remembers) Note(ctx context.Context, l store.Lease, n store.Note) error {
	if n.Field == store.FieldPosition {
		s.position = []byte(n.Value)
	}
	return s.memStore.Note(ctx, l, n)
}

func (s *remembers) Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error) {
	l, ok, err := s.memStore.Claim(ctx, c)
	l.Position = s.position
	return l, ok, err
}

// moved runs a relay over a database in memory until the test ends.
func moved(t *testing.T, st database, sink Sink, mode Mode) {
	t.Helper()
	r := newRelay(Config{
		Logger: slog.New(slog.DiscardHandler), LeaseTTL: time.Minute, Mode: mode, Sink: sink, PollMax: time.Millisecond,
		RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond, confirmEvery: time.Millisecond,
		sweepEvery: 5 * time.Millisecond,
	}.withDefaults(), st)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.runTerms(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// Hazard lagging-standby.
// The standby has k1 to k3 as they were before they were sent. On the primary they are sent and deleted, and
// the position in the manifests is behind them. The same happens to k4 and k5, which the standby never
// receives. The position in memory must not be used on the standby, and must not be written there: with it
// the relay would skip the manifest of k1 to k3, and send them again.
func TestALiveRelayThatIsMovedToALaggingStandbySendsNothingTwice(t *testing.T) {
	scenario := func(t *testing.T, naive bool, back func(db, standby *memDB)) *txBroker {
		db, broker := &memDB{server: "primary", open: map[string]bool{}}, &txBroker{}
		var standby *memDB
		broker.beforeCommit = func() error {
			if standby == nil {
				standby = db.copied()
			}
			return nil
		}
		tx := []store.Row{}
		for i := range 3 {
			db.nextID++
			tx = append(tx, store.Row{ID: db.nextID, EventID: uuid.New(), Topic: "t", Key: []byte("k"),
				Payload: fmt.Appendf(nil, "k%d", i+1)})
		}
		db.insert(tx)
		st := &memStore{db: db, fault: func(string) error { return nil }}
		if naive {
			moved(t, &remembers{memStore: st}, broker, ExactlyOnce)
		} else {
			moved(t, st, broker, ExactlyOnce)
		}
		eventually(t, "they are deleted, and the position is kept",
			func() bool { return db.positionKept() == `{"Manifests":1}` })
		db.writeRow("k4")
		eventually(t, "it is deleted, and the position is kept",
			func() bool { return db.positionKept() == `{"Manifests":2}` })
		require.Len(t, standby.rows, 3, "the standby lags")

		back(db, standby)
		db.writeRow("k5") // gets the id of k4
		eventually(t, "all is delivered", func() bool { return contains(broker.values(), "k5") && db.count() == 0 })
		return broker
	}
	promoted := func(db, standby *memDB) { db.becomes(standby, "standby") }
	t.Run("another server", func(t *testing.T) {
		broker := scenario(t, false, promoted)
		require.Equal(t, []string{"k1", "k2", "k3", "k4", "k5"}, broker.values())
	})
	t.Run("the same server, set back in place", func(t *testing.T) {
		broker := scenario(t, false, func(db, standby *memDB) { db.becomes(standby, db.server) })
		require.Equal(t, []string{"k1", "k2", "k3", "k4", "k5"}, broker.values())
	})
	t.Run("without the rule", func(t *testing.T) {
		broker := scenario(t, true, promoted)
		require.NotEmpty(t, broker.twice(), "the scenario does not catch the naive way")
	})
}

// Hazard lagging-standby.
// In at-least-once mode too, the relay waits for the records that the sink has when the server changes, and
// deletes them on the new server. So a restart of the database alone duplicates nothing.
func TestWhatIsOnItsWayWhenTheServerChangesIsNotSentAgain(t *testing.T) {
	db, sink := &memDB{server: "before", open: map[string]bool{}}, &testSink{hold: true}
	moved(t, &memStore{db: db, fault: func(string) error { return nil }}, sink, AtLeastOnce)
	for i := range 3 {
		db.writeRow(fmt.Sprintf("k%d", i+1))
	}
	eventually(t, "they are on their way", func() bool { return sink.count() == 3 })
	db.becomes(db.copied(), "after")
	db.writeRow("k4")
	sink.release()
	eventually(t, "all is delivered", func() bool { return db.count() == 0 })
	require.Equal(t, []string{"k1", "k2", "k3", "k4"}, sink.values())
}
