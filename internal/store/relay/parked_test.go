package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// parkedState has what the tests compare of a parked row.
type parkedState struct {
	seq       int64
	event     relay.Event
	state     string
	attempts  int
	overtaken bool
}

func parkedRows(t *testing.T, db dbtest.Database) (all []parkedState) {
	t.Helper()
	rows, err := db.DB.Query("SELECT seq, id, event_id, state, attempts, overtaken FROM outbox_parked ORDER BY seq")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var p parkedState
		require.NoError(t, rows.Scan(&p.seq, &p.event.ID, &p.event.EventID, &p.state, &p.attempts, &p.overtaken))
		all = append(all, p)
	}
	require.NoError(t, rows.Err())
	return all
}

func states(t *testing.T, db dbtest.Database) string {
	t.Helper()
	var all []string
	for _, p := range parkedRows(t, db) {
		all = append(all, p.state)
	}
	return strings.Join(all, " ")
}

// setState does what an operator's command does.
func setState(t *testing.T, db dbtest.Database, state string, rows ...parkedState) {
	t.Helper()
	for _, p := range rows {
		exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET state = '%s' WHERE seq = %d", state, p.seq))
	}
}

func name(p parkedState) relay.ParkedEvent {
	return relay.ParkedEvent{Seq: p.seq, EventID: p.event.EventID}
}

func replayable(t *testing.T, r *relay.Store, limit int) (all []relay.ParkedRow) {
	t.Helper()
	require.NoError(t, r.Replayable(t.Context(), limit, func(p *relay.ParkedRow) bool {
		all = append(all, *p)
		return true
	}))
	return all
}

func replayableSeqs(t *testing.T, r *relay.Store, limit int) (seqs []int64) {
	t.Helper()
	for _, p := range replayable(t, r, limit) {
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

func unpark(t *testing.T, r *relay.Store, l relay.Lease, rows ...parkedState) []sqldb.EventKey {
	t.Helper()
	var named []relay.DeliveredParked
	for _, p := range rows {
		named = append(named, relay.DeliveredParked{ParkedEvent: name(p)})
	}
	freed, err := r.Unpark(t.Context(), l, named)
	require.NoError(t, err)
	return freed
}

func refuse(t *testing.T, r *relay.Store, l relay.Lease, row relay.ParkedEvent, reason string, overtaken bool) error {
	t.Helper()
	return r.Reject(t.Context(), l, []relay.Rejection{{ParkedEvent: row, Reason: reason, Overtaken: overtaken}})
}

func TestParkingMovesRowsInTheOrderGiven(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, keyed{"orders", ""}, k, keyed{"other", "k"}, k)
		moved, err := r.Park(t.Context(), l, []relay.Parking{
			{Event: e[2], State: sqldb.ParkedFailed, Error: "x", Overtaken: true},
			{Event: e[0], State: sqldb.ParkedBlocked},
			{Event: e[1], State: sqldb.ParkedFailed},
			{Event: relay.Event{ID: e[3].ID, EventID: uuid.New()}, State: sqldb.ParkedFailed}, // the id came back
			{Event: relay.Event{ID: e[4].ID + 100, EventID: uuid.New()}, State: sqldb.ParkedFailed},
		})
		require.NoError(t, err)
		require.EqualValues(t, 3, moved)
		require.Equal(t, []relay.Event{e[3], e[4]}, eventsAbove(t, r, 0), "a row that holds another event stays")
		p := parkedRows(t, db)
		require.Equal(t, []relay.Event{e[2], e[0], e[1]}, []relay.Event{p[0].event, p[1].event, p[2].event})
		require.Equal(t, "failed blocked failed", states(t, db))
		require.Equal(t, []int{1, 0, 1}, []int{p[0].attempts, p[1].attempts, p[2].attempts})
		require.Equal(t, []bool{true, false, false}, []bool{p[0].overtaken, p[1].overtaken, p[2].overtaken})

		// The answer was lost, so the same rows are parked again, with a row that came later.
		moved, err = r.Park(t.Context(), l, []relay.Parking{
			{Event: e[2], State: sqldb.ParkedFailed}, {Event: e[0], State: sqldb.ParkedBlocked},
			{Event: e[4], State: sqldb.ParkedBlocked},
		})
		require.NoError(t, err)
		require.EqualValues(t, 1, moved)
		require.Equal(t, "failed blocked failed blocked", states(t, db))
		moved, err = r.Park(t.Context(), l, nil)
		require.NoError(t, err)
		require.Zero(t, moved)
	})
}

func TestAParkedRowIsReplayedAsItWasWritten(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		exec(t, db.DB, `INSERT INTO outbox_events (topic) VALUES ('bare')`)
		exec(
			t, db.DB,
			`INSERT INTO outbox_events (topic, event_key, event_type, payload, headers)
VALUES ('full', 'k ', 'placed', 'v', '{"a": "b"}')`,
		)
		exec(t, db.DB, `INSERT INTO outbox_events (topic, event_key, payload) VALUES ('empty', '', '')`)
		var written []relay.Row
		_, err := r.Read(t.Context(), relay.ReadQuery{Limit: 10}, func(row *relay.Row) bool {
			written = append(written, *row)
			return true
		})
		require.NoError(t, err)
		for _, e := range eventsAbove(t, r, 0) {
			parkAll(t, r, l, e)
		}
		exec(t, db.DB, "UPDATE outbox_parked SET state = 'retry', attempts = 7")
		replayed := replayable(t, r, 10)
		require.Len(t, replayed, 3)
		for i, p := range replayed {
			require.True(t, written[i].CreatedAt.Equal(p.CreatedAt))
			p.CreatedAt = written[i].CreatedAt
			require.Equal(t, written[i], p.Row)
			require.Equal(t, 7, p.Attempts)
		}
		require.Nil(t, replayed[0].Payload, "a tombstone stays one")
		require.NotNil(t, replayed[2].Payload)
		require.NotNil(t, replayed[2].Key, "an empty key is not no key")
	})
}

func TestAnOwnerWhoseLeaseWasTakenMovesNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		zombie := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, k)
		parkAll(t, r, zombie, e[0], e[1])
		p := parkedRows(t, db)
		setState(t, db, "retry", p[0])
		setState(t, db, "drop", p[1])
		expire(t, db)
		successor := mustClaim(t, r)

		_, err := r.Park(t.Context(), zombie, []relay.Parking{{Event: e[2], State: sqldb.ParkedBlocked}})
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		_, err = r.Unpark(t.Context(), zombie, []relay.DeliveredParked{{ParkedEvent: name(p[0])}})
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.ErrorIs(t, refuse(t, r, zombie, name(p[0]), "no", false), relay.ErrLeaseLost)
		_, err = r.DropRequested(t.Context(), zombie, 10)
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Equal(t, "retry drop", states(t, db))
		require.Equal(t, 1, countRows(t, db))

		_, err = r.Park(t.Context(), successor, []relay.Parking{{Event: e[2], State: sqldb.ParkedBlocked}})
		require.NoError(t, err)
		require.Equal(t, "retry drop blocked", states(t, db))
	})
}

// Hazard dropped-head.
// The rows for which it waited were deleted by hand, or left while it was being parked. Nothing would release
// it any more.
func TestABlockedRowWithNothingBeforeItIsReleasedAtOnce(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, keyed{"orders", ""}, keyed{"orders", "j"}, keyed{"orders", "j"})
		_, err := r.Park(t.Context(), l, []relay.Parking{
			{Event: e[0], State: sqldb.ParkedBlocked}, {Event: e[1], State: sqldb.ParkedBlocked},
			{Event: e[2], State: sqldb.ParkedBlocked},
			{Event: e[3], State: sqldb.ParkedFailed}, {Event: e[4], State: sqldb.ParkedBlocked},
		})
		require.NoError(t, err)
		require.Equal(t, "retry blocked retry failed blocked", states(t, db))
	})
}

func TestTheBlockedKeysAreThoseOfParkedRowsByTheirBytes(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		require.Empty(t, blockedKeys(t, r))
		distinct := []keyed{{"t", "A"}, {"t", "a"}, {"t", "A "}, {"t ", "A"}, {"T", "A"}, {"t", "é\"\\"}, {"t", "e"}}
		events := append([]keyed{{"t", ""}, {"t", "A"}, {"t", "a"}}, distinct...)
		for _, e := range insertKeyed(t, db, events...) {
			parkAll(t, r, l, e)
		}
		exec(t, db.DB, "UPDATE outbox_parked SET state = 'retry' WHERE event_key = 'a'")
		require.ElementsMatch(t, distinct, blockedKeys(t, r))

		asked := []sqldb.EventKey{
			{Topic: "t", Key: "é\"\\"}, {Topic: "t", Key: "E"}, {Topic: "t", Key: "A"}, {Topic: "t  ", Key: "A"},
			{Topic: "t", Key: ""},
		}
		found, err := r.FindBlockedKeys(t.Context(), asked)
		require.NoError(t, err)
		require.Equal(t, []sqldb.EventKey{asked[0], asked[2]}, found)
	})
}

// blockedKeys walks over the blocked keys, part by part.
func blockedKeys(t *testing.T, r *relay.Store) (keys []keyed) {
	t.Helper()
	for after, more := (relay.BlockedPart{}), true; more; {
		var err error
		after, more, err = r.ScanBlockedKeys(
			t.Context(), after, func(topic string, key []byte) { keys = append(keys, keyed{topic, string(key)}) },
		)
		require.NoError(t, err)
	}
	return keys
}

// Parts end in the middle of a key, and there are many rows without a key.
func TestTheBlockedKeysAreWalkedInPartsOfSomeRows(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		fillParked(t, db, 45_000)
		exec(t, db.DB, "UPDATE outbox_parked SET event_key = NULL WHERE seq BETWEEN 20001 AND 25000")
		var after relay.BlockedPart
		parts, keys := 0, make(map[string]int)
		for more := true; more; parts++ {
			rows, err := after, error(nil)
			after, more, err = r.ScanBlockedKeys(t.Context(), rows, func(_ string, key []byte) { keys[string(key)]++ })
			require.NoError(t, err)
		}
		require.Equal(t, 4, parts, "44,500 rows with keys in parts of 20,000, and an empty one")
		require.Len(t, keys, 4501)
		for key, times := range keys {
			require.Equal(t, 1, times, key)
		}
	})
}

func TestTheErrorOfAParkedRowIsCutAtACharacter(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		errors := []string{
			"", "plain <b> \"q\" \\", "a\x00b\xff", strings.Repeat("é", 3000), "x" + strings.Repeat("é", 3000),
			strings.Repeat("y", 4000),
		}
		for i, text := range errors {
			e := insertKeyed(t, db, keyed{"orders", fmt.Sprint(i)})
			_, err := r.Park(t.Context(), l, []relay.Parking{{Event: e[0], State: sqldb.ParkedFailed, Error: text}})
			require.NoError(t, err)
		}
		want := []string{
			"", errors[1], "a\uFFFDb\uFFFD", strings.Repeat("é", 2000), "x" + strings.Repeat("é", 1999), errors[5],
		}
		rows, err := db.DB.Query("SELECT error FROM outbox_parked ORDER BY seq")
		require.NoError(t, err)
		defer rows.Close()
		for _, text := range want {
			require.True(t, rows.Next())
			var got string
			require.NoError(t, rows.Scan(&got))
			require.Equal(t, text, got)
			require.True(t, utf8.ValidString(got))
		}
		require.NoError(t, rows.Err())
	})
}

// The errors are longer than one statement may carry.
func TestParkingTakesManyRowsWithLongErrors(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		dbtest.FillEvents(t, db, 500)
		events := eventsAbove(t, r, 0)
		rows := make([]relay.Parking, len(events))
		for i, e := range events {
			rows[i] = relay.Parking{Event: e, State: sqldb.ParkedFailed, Error: strings.Repeat("<", 4000)}
		}
		n, err := r.Park(t.Context(), l, rows)
		require.NoError(t, err)
		require.EqualValues(t, 500, n)
		for i, p := range parkedRows(t, db) {
			require.Equal(t, events[i], p.event)
		}
		require.Zero(t, countRows(t, db))
	})
}

func TestARelayThatMayNotParkIsToldAtStart(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			rest := []string{"SELECT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases"}
			for _, parked := range []string{
				"SELECT, INSERT, UPDATE", "SELECT, INSERT, DELETE", "SELECT, UPDATE, DELETE",
			} {
				_, err := newRelay(
					t, dbtest.Restricted(t, db, append(rest, parked+" ON outbox_parked")...),
				).Inspect(t.Context(), "default")
				require.True(t, sqldb.IsDenied(err), "%s: %v", parked, err)
			}
			_, err := newRelay(
				t, dbtest.Restricted(t, db, append(rest, "SELECT, INSERT, UPDATE, DELETE ON outbox_parked")...),
			).Inspect(t.Context(), "default")
			require.NoError(t, err)
		})
	}
}
