package dialect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/faultdb"
)

func list(t *testing.T, db dbtest.Database, f dialect.ParkedFilter, limit int) (seqs []int64, more bool) {
	t.Helper()
	entries, more, err := dialect.ListParked(t.Context(), db.DB, dialect.Names{Dialect: db.Dialect}, f, limit)
	require.NoError(t, err)
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs, more
}

func ask(t *testing.T, db dbtest.Database, a dialect.ParkedAsk) (dialect.ParkedAnswer, error) {
	t.Helper()
	return dialect.AskParked(t.Context(), db.DB, dialect.Names{Dialect: db.Dialect}, a)
}

func bySeq(rows ...parkedState) (ids []dialect.ParkedID) {
	for _, p := range rows {
		ids = append(ids, dialect.ParkedID{Seq: p.seq})
	}
	return ids
}

func inKey(topic, key string) dialect.ParkedFilter {
	return dialect.ParkedFilter{Topic: topic, Key: &key}
}

func TestParkedRowsAreListedByTopicKeyAndState(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k)
		parkAll(t, r, l, e...)
		for _, other := range []keyed{{"orders", "K"}, {"orders", "k "}, {"orders ", "k"}, {"orders", ""}} {
			parkAll(t, r, l, insertKeyed(t, db, other)...)
		}
		p := parkedRows(t, db)
		seqs := func(of ...int) (all []int64) {
			for _, i := range of {
				all = append(all, p[i].seq)
			}
			return all
		}
		for name, c := range map[string]struct {
			f    dialect.ParkedFilter
			want []int64
		}{
			"all":      {dialect.ParkedFilter{}, seqs(0, 1, 2, 3, 4, 5)},
			"a topic":  {dialect.ParkedFilter{Topic: "orders"}, seqs(0, 1, 2, 3, 5)},
			"a key":    {inKey("orders", "k"), seqs(0, 1)},
			"a state":  {dialect.ParkedFilter{State: dialect.ParkBlocked}, seqs(1)},
			"no topic": {dialect.ParkedFilter{Topic: "order"}, nil},
		} {
			got, more := list(t, db, c.f, 10)
			require.Equal(t, c.want, got, name)
			require.False(t, more, name)
		}
		got, more := list(t, db, dialect.ParkedFilter{}, 5)
		require.Equal(t, seqs(0, 1, 2, 3, 4), got)
		require.True(t, more)
		_, more = list(t, db, dialect.ParkedFilter{}, 6)
		require.False(t, more)
	})
}

func TestAParkedRowIsShownWithThePayloadsFirstBytes(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		names := dialect.Names{Dialect: db.Dialect}
		r := newRelay(t, db)
		l := mustClaim(t, r)
		exec(t, db.DB, `INSERT INTO outbox_events (topic) VALUES ('bare')`)
		bare := eventsAbove(t, r, 0)
		parkAll(t, r, l, bare...)
		e := insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", "k"})
		parkAll(t, r, l, e...)
		p := parkedRows(t, db)

		shown, err := dialect.FindParked(t.Context(), db.DB, names, dialect.ParkedID{EventID: e[1].EventID}, 4)
		require.NoError(t, err)
		require.Equal(t, []any{p[2].seq, e[1].ID, e[1].EventID.String(), "orders", "k", "order.placed", "blocked", "payl"},
			[]any{shown.Seq, shown.ID, shown.EventID, shown.Topic, string(shown.Key), shown.Type, shown.State, string(shown.Payload)})
		require.EqualValues(t, len("payload 1"), shown.PayloadSize)
		require.JSONEq(t, `{"n": "1"}`, shown.Headers)
		require.WithinDuration(t, time.Now(), shown.CreatedAt, time.Minute)
		require.WithinDuration(t, time.Now(), shown.ParkedAt, time.Minute)
		place, err := dialect.PlaceOf(t.Context(), db.DB, names, shown)
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedPlace{First: p[1].seq, FirstState: "failed", Rows: 2}, place)

		shown, err = dialect.FindParked(t.Context(), db.DB, names, dialect.ParkedID{Seq: p[0].seq}, 10)
		require.NoError(t, err)
		require.Nil(t, shown.Key)
		require.Nil(t, shown.Payload)
		require.EqualValues(t, -1, shown.PayloadSize)
		place, err = dialect.PlaceOf(t.Context(), db.DB, names, shown)
		require.NoError(t, err)
		require.Zero(t, place)

		missing := uuid.New()
		_, err = dialect.FindParked(t.Context(), db.DB, names, dialect.ParkedID{EventID: missing}, 10)
		require.ErrorContains(t, err, "no event is parked as "+missing.String())
		exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET event_id = '%s'", e[0].EventID))
		_, err = dialect.FindParked(t.Context(), db.DB, names, dialect.ParkedID{EventID: e[0].EventID}, 10)
		require.ErrorContains(t, err, "is parked 3 times: name one of the rows")
	})
}

func TestARetryMarksFailedRowsAndTheOthersFollow(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, k, keyed{"orders", "j"}, keyed{"other", ""})
		parkAll(t, r, l, e[0], e[1], e[2])
		parkAll(t, r, l, e[3])
		parkAll(t, r, l, e[4])
		p := parkedRows(t, db)
		retry := func(a dialect.ParkedAsk) dialect.ParkedAnswer {
			a.State = dialect.ParkRetry
			answer, err := ask(t, db, a)
			require.NoError(t, err)
			return answer
		}
		before := func() { setState(t, db, "failed", p[0], p[3], p[4]) }

		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 1, Followers: 2}, retry(dialect.ParkedAsk{IDs: bySeq(p[0])}))
		require.Equal(t, "retry blocked blocked failed failed", states(t, db))
		require.Equal(t, dialect.ParkedAnswer{Found: true, Followers: 2}, retry(dialect.ParkedAsk{IDs: bySeq(p[0])}), "asked for already")
		require.Equal(t, dialect.ParkedAnswer{Found: true, Followers: 2}, retry(dialect.ParkedAsk{IDs: bySeq(p[2])}), "follows anyway")
		before()
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 2, Followers: 2},
			retry(dialect.ParkedAsk{IDs: []dialect.ParkedID{{EventID: e[4].EventID}, {Seq: p[2].seq}, {Seq: p[0].seq}}}))
		require.Equal(t, "retry blocked blocked failed retry", states(t, db))
		before()
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 1, Followers: 2}, retry(dialect.ParkedAsk{Filter: inKey("orders", "k")}))
		require.Equal(t, "retry blocked blocked failed failed", states(t, db))
		before()
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 2, Followers: 2}, retry(dialect.ParkedAsk{Filter: dialect.ParkedFilter{Topic: "orders"}}))
		require.Equal(t, "retry blocked blocked retry failed", states(t, db))
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 1, Followers: 2}, retry(dialect.ParkedAsk{}))
		require.Equal(t, "retry blocked blocked retry retry", states(t, db))
		require.Equal(t, dialect.ParkedAnswer{}, retry(dialect.ParkedAsk{Filter: inKey("orders", "K")}))

		setState(t, db, "drop", p[0])
		retry(dialect.ParkedAsk{IDs: bySeq(p[0])})
		require.Equal(t, "retry blocked blocked retry retry", states(t, db), "a drop that was not done yet is taken back")
	})
}

func TestAnAskThatIsRefusedChangesNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, k, keyed{"orders", "j"})
		parkAll(t, r, l, e[0], e[1])
		parkAll(t, r, l, e[2])
		parkAll(t, r, l, e[3])
		p := parkedRows(t, db)
		exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET overtaken = true WHERE seq = %d", p[3].seq))
		const before = "failed blocked failed failed"
		nobody := uuid.New()
		for name, c := range map[string]struct {
			a    dialect.ParkedAsk
			want []string
		}{
			"an id that is not there": {
				dialect.ParkedAsk{State: "retry", IDs: append(bySeq(p[0]), dialect.ParkedID{Seq: 999}, dialect.ParkedID{EventID: nobody})},
				[]string{"no event is parked as 999, " + nobody.String(), "relay parked list"},
			},
			"a blocked row": {dialect.ParkedAsk{State: "retry", IDs: bySeq(p[1])},
				[]string{fmt.Sprintf("row %d waits behind row %d of its key, which is failed", p[1].seq, p[0].seq), fmt.Sprintf("relay parked retry %d", p[0].seq)}},
			"a failed row behind another": {dialect.ParkedAsk{State: "retry", IDs: bySeq(p[2]), Force: true}, []string{"waits behind"}},
			"an overtaken row":            {dialect.ParkedAsk{State: "retry", IDs: bySeq(p[0], p[3])}, []string{fmt.Sprintf("row %d was overtaken: later events", p[3].seq), "--force"}},
			"overtaken rows among others": {dialect.ParkedAsk{State: "retry"}, []string{"1 of these rows were overtaken", "--force"}},
			"a drop behind another":       {dialect.ParkedAsk{State: "drop", Reason: "x", IDs: bySeq(p[1])}, []string{"waits behind", "--reason"}},
		} {
			_, err := ask(t, db, c.a)
			require.Error(t, err, name)
			for _, want := range c.want {
				require.ErrorContains(t, err, want, name)
			}
			require.Equal(t, before, states(t, db), name)
		}
		_, err := ask(t, db, dialect.ParkedAsk{State: "retry", Force: true, IDs: bySeq(p[3])})
		require.NoError(t, err)
		require.Equal(t, "failed blocked failed retry", states(t, db))
		setState(t, db, "retry", p[0])
		_, err = ask(t, db, dialect.ParkedAsk{State: "drop", Reason: "x", IDs: bySeq(p[1])})
		require.ErrorContains(t, err, "about to be sent again")
	})
}

func TestADropKeepsItsReasonBeforeTheError(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		k := keyed{"orders", "k"}
		e := insertKeyed(t, db, k, k, k, keyed{"orders", "j"})
		parkAll(t, r, l, e[0], e[1], e[2])
		parkAll(t, r, l, e[3])
		p := parkedRows(t, db)
		answer, err := ask(t, db, dialect.ParkedAsk{State: "drop", Reason: `a "test" order`, IDs: bySeq(p[0], p[1])})
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 2, Followers: 1}, answer)
		require.Equal(t, "drop drop blocked failed", states(t, db))
		answer, err = ask(t, db, dialect.ParkedAsk{State: "drop", Reason: "all of it", Filter: inKey("orders", "k")})
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 1}, answer)
		require.Equal(t, "drop drop drop failed", states(t, db))

		dropped, freed, err := r.DropAsked(t.Context(), l, 10)
		require.NoError(t, err)
		require.Len(t, dropped, 3)
		require.Equal(t, []dialect.EventKey{{Topic: "orders", Key: "k"}}, freed)
		var text string
		require.NoError(t, db.DB.QueryRow(`SELECT error FROM outbox_drops ORDER BY seq LIMIT 1`).Scan(&text))
		require.Equal(t, `dropped: a "test" order; parked because: too large`, text)
	})
}

// Hazard dropped-head.
// Were the first rows dropped while the others are not marked yet, their followers would
// be sent. Here the second of two statements fails.
func TestADropOfManyRowsMarksTheFirstOnesLast(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		const all, atOnce = 5003, 5000
		fill(t, db, all)
		exec(t, db.DB, "UPDATE outbox_events SET event_key = 'k'")
		parkAll(t, r, l, eventsAbove(t, r, 0)...)
		updates, broken := 0, errors.New("the disk is full")
		faulty := faultdb.Open(db.DB, func(statement string) faultdb.Fault {
			if !strings.HasPrefix(statement, "UPDATE") {
				return faultdb.Fault{}
			}
			if updates++; updates == 2 {
				return faultdb.Fail(broken)
			}
			return faultdb.Fault{}
		})
		defer func() { require.NoError(t, faulty.Close()) }()
		a := dialect.ParkedAsk{State: "drop", Reason: "x"}
		_, err := dialect.AskParked(t.Context(), faulty, dialect.Names{Dialect: db.Dialect}, a)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "5000 rows were marked")
		require.Equal(t, "failed blocked blocked"+strings.Repeat(" drop", atOnce), states(t, db))

		answer, err := ask(t, db, a)
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: all - atOnce}, answer)
	})
}

func TestASourceIsOwnedWhileItsLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		names := dialect.Names{Dialect: db.Dialect}
		owned := func() bool {
			o, err := dialect.Owned(t.Context(), db.DB, names)
			require.NoError(t, err)
			return o
		}
		require.False(t, owned())
		mustClaim(t, newRelay(t, db))
		require.True(t, owned())
		expire(t, db)
		require.False(t, owned())
	})
}

// The relay holds a row locked, as long as it moves it. An operator names another one by
// its event, which no index has: the look for it must not wait for the first.
func TestAnAskByEventWaitsForNoOtherRow(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			r := newRelay(t, db)
			l := mustClaim(t, r)
			for _, e := range insertKeyed(t, db, keyed{"orders", "a"}, keyed{"orders", "b"}) {
				parkAll(t, r, l, e)
			}
			p := parkedRows(t, db)
			relay, err := db.DB.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = relay.ExecContext(t.Context(), fmt.Sprintf("UPDATE outbox_parked SET attempts = 2 WHERE seq = %d", p[0].seq))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // or it would wait for as long as the lock is held
			defer cancel()
			_, err = dialect.AskParked(ctx, db.DB, dialect.Names{Dialect: db.Dialect},
				dialect.ParkedAsk{State: dialect.ParkRetry, IDs: []dialect.ParkedID{{EventID: p[1].event.EventID}}})
			require.NoError(t, err)
			require.NoError(t, relay.Rollback())
			require.Equal(t, "failed retry", states(t, db))
		})
	}
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

func begin(t *testing.T, db *sql.DB, opts *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}
