package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/parked"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestAKeyIsReplayedHeadFirstAndUnblockedWithItsLastRow(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k, j := keyed{"orders", "k"}, keyed{"orders", "j"}
		e := insertKeyed(t, db, k, k, k, j, j)
		parkAll(t, r, l, e[0], e[1], e[2])
		parkAll(t, r, l, e[3], e[4])
		drops, err := r.DropRequested(t.Context(), l, 10)
		require.NoError(t, err)
		require.False(t, drops.Requests)
		require.Empty(t, replayable(t, r, 10))

		p := parkedRows(t, db)
		setState(t, db, "retry", p[0])
		drops, err = r.DropRequested(t.Context(), l, 10)
		require.NoError(t, err)
		require.Equal(t, relay.Drops{Requests: true}, drops)
		got := replayable(t, r, 10)
		require.Len(t, got, 1)
		require.Equal(t, e[0].ID, got[0].ID)
		require.Equal(t, e[0].EventID, got[0].EventID)
		require.Equal(t, 1, got[0].Attempts)

		require.Empty(t, unpark(t, r, l, p[0]))
		require.Equal(t, "retry retry failed blocked", states(t, db), "its followers follow, another key's do not")
		require.Equal(t, []int64{p[1].seq, p[2].seq}, replayableSeqs(t, r, 10))
		require.Equal(t, []int64{p[1].seq}, replayableSeqs(t, r, 1))

		// While they are being sent, another event of the key is parked.
		more := insertKeyed(t, db, k)
		_, err = r.Park(t.Context(), l, []relay.Parking{{Event: more[0], State: sqldb.ParkedBlocked}})
		require.NoError(t, err)
		require.Equal(t, "retry retry failed blocked blocked", states(t, db))
		require.Empty(t, unpark(t, r, l, p[2], p[1], p[0]), "one that is gone is passed over")
		require.Equal(t, "failed blocked retry", states(t, db))
		last := parkedRows(t, db)[2]
		require.Empty(
			t, unpark(t, r, l, parkedState{seq: last.seq, event: relay.Event{EventID: uuid.New()}}), "another event",
		)
		require.Equal(t, []sqldb.EventKey{{Topic: "orders", Key: "k"}}, unpark(t, r, l, last))
		require.Equal(t, "failed blocked", states(t, db))
	})
}

func TestWhoseTurnItIs(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		type row struct {
			key, state string
			overtaken  bool
			turn       bool
		}
		table := []row{
			{"a", "retry", false, true},
			{"a", "retry", false, true},
			{"a", "failed", false, false},
			{"a", "retry", false, false}, // behind a failed one
			{"a", "retry", true, true},   // forced
			{"A", "retry", false, true},  // another key
			{"a ", "retry", false, true}, // another key
			{"b", "drop", false, false},
			{"b", "retry", false, false}, // behind one to be dropped
			{"", "failed", false, false},
			{"", "retry", false, true}, // without a key
			{"c", "blocked", false, false},
			{"c", "retry", false, false},
		}
		var want []int64
		for _, x := range table {
			parkAll(t, r, l, insertKeyed(t, db, keyed{"orders", x.key})...)
			p := parkedRows(t, db)
			last := p[len(p)-1]
			exec(t, db.DB, fmt.Sprintf(
				"UPDATE outbox_parked SET state = '%s', overtaken = %t WHERE seq = %d", x.state, x.overtaken, last.seq,
			))
			if x.turn {
				want = append(want, last.seq)
			}
		}
		require.Equal(t, want, replayableSeqs(t, r, 100))
		for limit := range len(want) + 1 {
			require.Equal(t, want[:limit], append([]int64{}, replayableSeqs(t, r, limit)...), "limit %d", limit)
		}
		var seen []int64
		require.NoError(t, r.Replayable(t.Context(), 100, func(p *relay.ParkedRow) bool {
			seen = append(seen, p.Seq)
			return len(seen) < 2
		}))
		require.Equal(t, want[:2], seen, "a visitor may stop")
	})
}

func TestFollowersAreReleasedUpToTheNextFailedRow(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		for _, key := range []keyed{k, {"orders", "K"}, {"orders", "k "}, {"orders ", "k"}, k, k, k, {"orders", ""}} {
			parkAll(t, r, l, insertKeyed(t, db, key)...)
		}
		p := parkedRows(t, db)
		setState(t, db, "blocked", p[1], p[2], p[3], p[4], p[6], p[7]) // parking would never set some of these states
		require.Equal(t, "failed blocked blocked blocked blocked failed blocked blocked", states(t, db))
		require.Empty(t, unpark(t, r, l, p[0]))
		require.Equal(t, "blocked blocked blocked retry failed blocked blocked", states(t, db))
		require.Empty(t, unpark(t, r, l, p[7]), "a row without a key frees none")
		require.Empty(t, unpark(t, r, l, p[4]))
		require.Equal(t, "blocked blocked blocked failed blocked", states(t, db))
		require.Equal(t, []sqldb.EventKey{{Topic: "orders", Key: "K"}}, unpark(t, r, l, p[1]))
		require.Equal(t, []sqldb.EventKey{{Topic: "orders ", Key: "k"}}, unpark(t, r, l, p[3]))
		require.Equal(t, "blocked failed blocked", states(t, db))
	})
}

func TestARefusedRowBlocksItsFollowersAgain(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, k, k, k, keyed{"orders", "K"})
		for _, e := range e {
			parkAll(t, r, l, e)
		}
		p := parkedRows(t, db)
		setState(t, db, "retry", p...)
		exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET overtaken = true WHERE seq = %d", p[3].seq))
		require.NoError(t, refuse(t, r, l, name(p[1]), "again: too large", false))
		require.Equal(t, "retry failed blocked retry blocked retry", states(t, db), "an overtaken row waits for nobody")
		now := parkedRows(t, db)[1]
		require.Equal(t, 2, now.attempts)
		require.False(t, now.overtaken)
		var text string
		require.NoError(
			t, db.DB.QueryRow(fmt.Sprintf("SELECT error FROM outbox_parked WHERE seq = %d", now.seq)).Scan(&text),
		)
		require.Equal(t, "again: too large", text)

		require.NoError(t, refuse(t, r, l, name(p[1]), "later ones were accepted", true))
		require.NoError(t, refuse(t, r, l, name(p[1]), "once more", false))
		require.True(t, parkedRows(t, db)[1].overtaken, "once overtaken, always")

		require.NoError(t, refuse(t, r, l, relay.ParkedEvent{Seq: p[0].seq, EventID: uuid.New()}, "no", false))
		require.NoError(t, refuse(t, r, l, relay.ParkedEvent{Seq: 1 << 40, EventID: uuid.New()}, "no", false))
		setState(t, db, "drop", p[0])
		require.NoError(t, refuse(t, r, l, name(p[0]), "no", false))
		require.Equal(t, "drop failed blocked retry blocked retry", states(t, db), "what is to be dropped stays so")
	})
}

func TestManyRowsAreRefusedAtOnce(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k, j := keyed{"orders", "k"}, keyed{"orders", "j"}
		for _, e := range insertKeyed(t, db, k, j, k, j, keyed{"orders", ""}) {
			parkAll(t, r, l, e)
		}
		p := parkedRows(t, db)
		setState(t, db, "retry", p...)
		require.NoError(t, r.Reject(t.Context(), l, nil))
		require.NoError(t, r.Reject(t.Context(), l, []relay.Rejection{
			{ParkedEvent: name(p[0]), Reason: "first"},
			{ParkedEvent: name(p[1]), Reason: strings.Repeat("é", 3000), Overtaken: true}, {ParkedEvent: name(p[4])},
		}))
		require.Equal(t, "failed failed blocked blocked failed", states(t, db))
		now := parkedRows(t, db)
		require.Equal(t, []bool{false, true, false}, []bool{now[0].overtaken, now[1].overtaken, now[4].overtaken})
		require.Equal(
			t, []int{2, 2, 1, 1, 2},
			[]int{now[0].attempts, now[1].attempts, now[2].attempts, now[3].attempts, now[4].attempts},
		)
		rows, err := db.DB.Query("SELECT error FROM outbox_parked ORDER BY seq")
		require.NoError(t, err)
		defer rows.Close()
		for _, want := range []string{"first", strings.Repeat("é", 2000), "too large", "too large", ""} {
			require.True(t, rows.Next())
			var text string
			require.NoError(t, rows.Scan(&text))
			require.Equal(t, want, text)
		}
		require.NoError(t, rows.Err())
	})
}

func TestADropIsRecordedAndItsFollowersFollow(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k "}
		e := insertKeyed(t, db, k, k, keyed{"orders", "j"}, keyed{"other", ""})
		parkAll(t, r, l, e[0], e[1])
		parkAll(t, r, l, e[2])
		parkAll(t, r, l, e[3])
		drops, err := r.DropRequested(t.Context(), l, 10)
		require.NoError(t, err)
		require.Empty(t, drops.Dropped)
		require.Empty(t, drops.Freed)

		p := parkedRows(t, db)
		setState(t, db, "drop", p[0], p[2], p[3])
		drops, err = r.DropRequested(t.Context(), l, 2)
		require.NoError(t, err)
		require.Equal(t, []relay.Dropped{
			{Seq: p[0].seq, Event: e[0], Topic: "orders", Key: []byte("k ")},
			{Seq: p[2].seq, Event: e[2], Topic: "orders", Key: []byte("j")},
		}, drops.Dropped)
		require.Equal(t, []sqldb.EventKey{{Topic: "orders", Key: "j"}}, drops.Freed)
		require.Equal(t, "retry drop", states(t, db))
		drops, err = r.DropRequested(t.Context(), l, 2)
		require.NoError(t, err)
		require.Equal(t, []relay.Dropped{{Seq: p[3].seq, Event: e[3], Topic: "other"}}, drops.Dropped)
		require.Empty(t, drops.Freed)

		var recorded []string
		rows, err := db.DB.Query("SELECT event_id, error FROM outbox_drops ORDER BY seq")
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var id uuid.UUID
			var text string
			require.NoError(t, rows.Scan(&id, &text))
			recorded = append(recorded, id.String()+" "+text)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []string{
			e[0].EventID.String() + " too large", e[2].EventID.String() + " too large",
			e[3].EventID.String() + " too large",
		}, recorded)
	})
}

// One package writes the operator's request and another one drops the row, and the reason must reach the
// record.
func TestADropKeepsTheReasonOfItsRequest(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		parkAll(t, r, l, insertKeyed(t, db, k, k, k)...)
		parkAll(t, r, l, insertKeyed(t, db, keyed{"orders", "j"})...)
		p := parkedRows(t, db)
		operator, err := parked.Outbox(db.DB, sqldb.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		ids := []parked.ID{{Seq: p[0].seq}, {Seq: p[1].seq}, {Seq: p[2].seq}}
		_, err = operator.Request(
			t.Context(), parked.Request{State: sqldb.ParkedDrop, Reason: `a "test" order`, IDs: ids},
		)
		require.NoError(t, err)

		drops, err := r.DropRequested(t.Context(), l, 10)
		require.NoError(t, err)
		require.Len(t, drops.Dropped, 3)
		require.Equal(t, []sqldb.EventKey{{Topic: "orders", Key: "k"}}, drops.Freed)
		var recorded string
		require.NoError(t, db.DB.QueryRow("SELECT error FROM outbox_drops ORDER BY seq LIMIT 1").Scan(&recorded))
		require.Equal(t, `dropped: a "test" order; parked because: too large`, recorded)
	})
}

func TestADropWithoutTheTableOfDropsStillDrops(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		exec(t, db.DB, "DROP TABLE outbox_drops")
		parkAll(t, r, l, insertKeyed(t, db, keyed{"orders", "k"})...)
		setState(t, db, "drop", parkedRows(t, db)...)
		drops, err := r.DropRequested(t.Context(), l, 10)
		require.NoError(t, err)
		require.Len(t, drops.Dropped, 1)
		require.Len(t, drops.Freed, 1)
		require.Empty(t, parkedRows(t, db))
	})
}

// Hazard replayed-event: a replayed event has the event id of one that was sent long ago, and another row id.
func TestParkedRowsThatWereSentAreDeletedByRowAndEvent(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, keyed{"orders", "j"}, keyed{"orders", ""})
		parkAll(t, r, l, e[0], e[1])
		parkAll(t, r, l, e[2])
		parkAll(t, r, l, e[3])
		found := sentParked(
			t, r, e[0], relay.Event{ID: e[2].ID, EventID: uuid.New()},
			relay.Event{ID: e[3].ID + 50, EventID: e[3].EventID},
		)
		require.Len(t, found, 1)
		_, err := r.Unpark(t.Context(), l, found)
		require.NoError(t, err)
		require.Equal(t, "retry failed failed", states(t, db))
		require.Empty(t, sentParked(t, r, e[0]))
	})
}

// sentParked walks all parked rows once, however many events there are.
func sentParked(t *testing.T, r *relay.Store, events ...relay.Event) (all []relay.DeliveredParked) {
	t.Helper()
	var sent relay.SentEvents
	for _, e := range events {
		sent.Add(e)
	}
	require.Equal(t, len(events), sent.Len())
	for after, more := int64(0), true; more; {
		found, next, some, err := r.FindSentParked(t.Context(), &sent, after)
		require.NoError(t, err)
		require.True(t, next > after || !some)
		after, more, all = next, some, append(all, found...)
	}
	return all
}

// The windows have 50,000 rows, and the last one has fewer.
func TestSentParkedRowsAreFoundInEachWindow(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		fillParked(t, db, 100_000)
		p := parkedRows(t, db)
		want := []parkedState{p[0], p[49_999], p[50_000], p[99_999], p[len(p)-1]}
		var events []relay.Event
		var seqs, got []int64
		for _, row := range want {
			events, seqs = append(events, row.event), append(seqs, row.seq)
		}
		for _, row := range sentParked(t, r, events[:4]...) {
			got = append(got, row.Seq)
			require.EqualValues(t, 200, row.Size)
		}
		require.Subset(t, got, seqs[:4])
		require.LessOrEqual(t, len(got), 8, "fillParked uses each id twice at the most")
	})
}

// There are more followers than one transaction releases. The others are released when those are gone.
func TestManyFollowersAreReleasedInParts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		const all = 5102
		dbtest.FillEvents(t, db, all)
		exec(t, db.DB, "UPDATE outbox_events SET event_key = 'k'")
		parkAll(t, r, l, eventsAbove(t, r, 0)...)
		setState(t, db, "retry", parkedRows(t, db)[0])
		delivered := 0
		for delivered < all {
			rows := replayable(t, r, 4000)
			require.NotEmpty(t, rows, "after %d", delivered)
			var done []relay.DeliveredParked
			for _, p := range rows {
				done = append(
					done, relay.DeliveredParked{ParkedEvent: relay.ParkedEvent{Seq: p.Seq, EventID: p.EventID}},
				)
			}
			freed, err := r.Unpark(t.Context(), l, done)
			require.NoError(t, err)
			delivered += len(rows)
			require.Equal(t, delivered == all, len(freed) == 1)
		}
	})
}
