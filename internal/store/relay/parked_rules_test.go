package relay_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/parked"
	"github.com/postroom/postroom/internal/store/relay"
)

// parkedWorld parks, replays, rejects and drops at random, as the owner does, with an operator who makes
// random requests. After each step:
//
//   - a blocked row has an earlier row of its key;
//   - keys are freed exactly when their last row is removed;
//   - rows of a key are delivered in the order in which they were parked.
type parkedWorld struct {
	t     *testing.T
	db    dbtest.Database
	r     *relay.Store
	l     relay.Lease
	rand  *rand.Rand
	gone  map[uuid.UUID]bool
	sent  map[string]int64 // the seq of each key that was delivered last
	steps []string
}

func TestWhateverHappensABlockedRowHasARowBeforeIt(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		seed := rand.Uint64()
		w := &parkedWorld{
			t: t, db: db, r: newRelay(t, db), rand: rand.New(rand.NewPCG(seed, 1)),
			gone: map[uuid.UUID]bool{}, sent: map[string]int64{},
		}
		w.l = mustClaim(t, w.r)
		t.Logf("seed %d", seed)
		for range 120 {
			[]func(){w.park, w.park, w.operator, w.operator, w.replay, w.replay, w.drop}[w.rand.IntN(7)]()
			w.check()
		}
		// At the end everything is sent, and no row is left.
		for range 200 {
			if len(parkedRows(t, db)) == 0 {
				break
			}
			err := request(t, db, parked.Request{State: sqldb.ParkedRetry, Force: true})
			require.NoError(t, err)
			w.send(func() bool { return true })
			w.drop()
			w.check()
		}
		require.Empty(t, parkedRows(t, db), "%v", w.steps)
	})
}

func (w *parkedWorld) step(format string, args ...any) {
	w.steps = append(w.steps, fmt.Sprintf(format, args...))
}

func (w *parkedWorld) blocked() map[string]bool {
	keys := make(map[string]bool)
	for _, k := range blockedKeys(w.t, w.r) {
		keys[k[1]] = true
	}
	return keys
}

// park parks events by the rules of the policy block-key.
func (w *parkedWorld) park() {
	var keys []keyed
	for range 1 + w.rand.IntN(4) {
		keys = append(keys, keyed{"orders", []string{"a", "A", "a ", "b"}[w.rand.IntN(4)]})
	}
	blocked := w.blocked()
	var rows []relay.Parking
	for i, e := range insertKeyed(w.t, w.db, keys...) {
		p := relay.Parking{Event: e, State: sqldb.ParkedBlocked}
		if !blocked[keys[i][1]] {
			p.State = sqldb.ParkedFailed
		}
		blocked[keys[i][1]] = true
		rows = append(rows, p)
		w.step("park %q %s", keys[i][1], p.State)
	}
	n, err := w.r.Park(w.t.Context(), w.l, rows)
	require.NoError(w.t, err)
	require.EqualValues(w.t, len(rows), n)
}

func request(t *testing.T, db dbtest.Database, r parked.Request) error {
	t.Helper()
	s, err := parked.Outbox(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	_, err = s.Request(t.Context(), r)
	return err
}

func (w *parkedWorld) operator() {
	rows := parkedRows(w.t, w.db)
	if len(rows) == 0 {
		return
	}
	a := parked.Request{State: sqldb.ParkedRetry}
	if w.rand.IntN(4) == 0 {
		a.State, a.Reason = sqldb.ParkedDrop, "x"
	}
	for range 1 + w.rand.IntN(2) {
		a.IDs = append(a.IDs, parked.ID{Seq: rows[w.rand.IntN(len(rows))].seq})
	}
	before := states(w.t, w.db)
	err := request(w.t, w.db, a)
	w.step("%s %v: %v", a.State, a.IDs, err)
	if err != nil {
		require.Equal(w.t, before, states(w.t, w.db), "all or nothing")
	}
}

func (w *parkedWorld) replay() {
	w.send(func() bool { return w.rand.IntN(3) > 0 })
}

// send delivers the rows that may be sent. Rows behind a rejected row of the same key wait.
func (w *parkedWorld) send(accepts func() bool) {
	refused := make(map[string]bool)
	var delivered []relay.DeliveredParked
	var refusals []relay.Rejection
	before := w.blocked()
	for _, p := range replayable(w.t, w.r, 1+w.rand.IntN(5)) {
		key, named := string(p.Key), relay.ParkedEvent{Seq: p.Seq, EventID: p.EventID}
		switch {
		case refused[key]:
		case accepts():
			require.Greater(w.t, p.Seq, w.sent[key], "key %q: %v", key, w.steps)
			require.False(w.t, w.gone[p.EventID])
			w.sent[key], w.gone[p.EventID] = p.Seq, true
			delivered = append(delivered, relay.DeliveredParked{ParkedEvent: named})
		default:
			refused[key] = true
			refusals = append(refusals, relay.Rejection{ParkedEvent: named, Reason: "no"})
		}
	}
	w.step("delivered %v, refused %v", delivered, refusals)
	require.NoError(w.t, w.r.Reject(w.t.Context(), w.l, refusals))
	freed, err := w.r.Unpark(w.t.Context(), w.l, delivered)
	require.NoError(w.t, err)
	w.freed(before, freed)
}

func (w *parkedWorld) drop() {
	before := w.blocked()
	drops, err := w.r.DropRequested(w.t.Context(), w.l, 1+w.rand.IntN(3))
	require.NoError(w.t, err)
	w.step("dropped %d", len(drops.Dropped))
	w.freed(before, drops.Freed)
}

// freed checks that the freed keys are exactly those that have no row any more.
func (w *parkedWorld) freed(before map[string]bool, freed []sqldb.EventKey) {
	after := w.blocked()
	want := []string{}
	for key := range before {
		if !after[key] {
			want = append(want, key)
		}
	}
	got := []string{}
	for _, k := range freed {
		got = append(got, k.Key)
	}
	require.ElementsMatch(w.t, want, got, "%v", w.steps)
}

func (w *parkedWorld) check() {
	rows, err := w.db.DB.Query("SELECT event_key, state FROM outbox_parked ORDER BY seq")
	require.NoError(w.t, err)
	defer rows.Close()
	seen := make(map[string]bool)
	for rows.Next() {
		var key, state string
		require.NoError(w.t, rows.Scan(&key, &state))
		require.True(
			w.t, seen[key] || state != sqldb.ParkedBlocked, "key %q begins with a blocked row: %v", key, w.steps,
		)
		seen[key] = true
	}
	require.NoError(w.t, rows.Err())
}
