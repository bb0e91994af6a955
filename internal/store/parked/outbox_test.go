package parked_test

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

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/internal/store/parked"
)

func exec(t *testing.T, pool *sql.DB, query string) {
	t.Helper()
	_, err := pool.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

func outbox(t *testing.T, on dbtest.Database) *parked.Store {
	t.Helper()
	s, err := parked.Outbox(on.DB, db.Names{Dialect: on.Dialect})
	require.NoError(t, err)
	return s
}

// event is a row to park. An empty key is none.
type event struct{ topic, key, state string }

// row is a parked event: what names it.
type row struct {
	seq  int64
	name string
}

// park fills outbox_parked with events.
func park(t *testing.T, on dbtest.Database, events ...event) []row {
	t.Helper()
	created := time.Now().UTC().Format(db.Names{Dialect: on.Dialect}.TimeLayout())
	values := make([]string, len(events))
	for i, e := range events {
		key := "NULL"
		if e.key != "" {
			key = "'" + e.key + "'"
		}
		values[i] = fmt.Sprintf(`(%d, '%s', '%s', %s, 'order.placed', 'payload %d', '{"n": "1"}', '%s', 1,
'too large', '%s')`,
			100+i, uuid.New(), e.topic, key, i, created, e.state)
	}
	exec(t, on.DB, "INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers, "+
		"created_at, "+
		"attempts, error, state) VALUES "+strings.Join(values, ", "))
	entries, _, err := outbox(t, on).List(t.Context(), parked.Filter{}, 10_000)
	require.NoError(t, err)
	rows := make([]row, len(entries))
	for i, e := range entries {
		rows[i] = row{e.Seq, e.ID}
	}
	return rows
}

// states are those of all rows, by seq.
func states(t *testing.T, s *parked.Store) string {
	t.Helper()
	entries, more, err := s.List(t.Context(), parked.Filter{}, 10_000)
	require.NoError(t, err)
	require.False(t, more)
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = e.State
	}
	return strings.Join(all, " ")
}

func setState(t *testing.T, on dbtest.Database, state string, rows ...row) {
	t.Helper()
	for _, p := range rows {
		exec(t, on.DB, fmt.Sprintf("UPDATE outbox_parked SET state = '%s' WHERE seq = %d", state, p.seq))
	}
}

func bySeq(rows ...row) (ids []parked.ID) {
	for _, p := range rows {
		ids = append(ids, parked.ID{Seq: p.seq})
	}
	return ids
}

func inKey(topic, key string) parked.Filter { return parked.Filter{Topic: topic, Key: &key} }

func TestParkedRowsAreListedByTopicKeyAndState(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := outbox(t, on)
		p := park(t, on, event{"orders", "k", "failed"}, event{"orders", "k", "blocked"},
			event{"orders", "K", "failed"},
			event{"orders", "k ", "failed"}, event{"orders ", "k", "failed"}, event{"orders", "", "failed"})
		seqs := func(of ...int) (all []int64) {
			for _, i := range of {
				all = append(all, p[i].seq)
			}
			return all
		}
		list := func(f parked.Filter, limit int) (seqs []int64, more bool) {
			entries, more, err := s.List(t.Context(), f, limit)
			require.NoError(t, err)
			for _, e := range entries {
				seqs = append(seqs, e.Seq)
			}
			return seqs, more
		}
		for name, c := range map[string]struct {
			f    parked.Filter
			want []int64
		}{
			"all":      {parked.Filter{}, seqs(0, 1, 2, 3, 4, 5)},
			"a topic":  {parked.Filter{Topic: "orders"}, seqs(0, 1, 2, 3, 5)},
			"a key":    {inKey("orders", "k"), seqs(0, 1)},
			"a state":  {parked.Filter{State: db.ParkedBlocked}, seqs(1)},
			"no topic": {parked.Filter{Topic: "order"}, nil},
		} {
			got, more := list(c.f, 10)
			require.Equal(t, c.want, got, name)
			require.False(t, more, name)
		}
		got, more := list(parked.Filter{}, 5)
		require.Equal(t, seqs(0, 1, 2, 3, 4), got)
		require.True(t, more)
		_, more = list(parked.Filter{}, 6)
		require.False(t, more)
	})
}

func TestAParkedRowIsShownWithThePayloadsFirstBytes(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := outbox(t, on)
		p := park(t, on, event{"bare", "", "failed"}, event{"orders", "k", "failed"},
			event{"orders", "k", "blocked"})
		exec(t, on.DB, fmt.Sprintf("UPDATE outbox_parked SET payload = NULL WHERE seq = %d", p[0].seq))

		shown, err := s.Find(t.Context(), parked.Filter{}, parked.ID{Name: p[2].name}, 4)
		require.NoError(t, err)
		require.Equal(t, []any{
			p[2].seq, int64(102), p[2].name, "orders", "k", "order.placed", "blocked", "payl",
		}, []any{
			shown.Seq, shown.EventRow, shown.ID, shown.Topic, *shown.Key, shown.Type, shown.State,
			string(shown.Payload),
		})
		require.EqualValues(t, len("payload 1"), shown.PayloadSize)
		require.JSONEq(t, `{"n": "1"}`, shown.Headers)
		require.WithinDuration(t, time.Now(), shown.CreatedAt, time.Minute)
		require.WithinDuration(t, time.Now(), shown.ParkedAt, time.Minute)
		place, err := s.PlaceOf(t.Context(), shown)
		require.NoError(t, err)
		require.Equal(t, parked.Place{First: p[1].seq, FirstState: "failed", Rows: 2}, place)

		shown, err = s.Find(t.Context(), parked.Filter{}, parked.ID{Seq: p[0].seq}, 10)
		require.NoError(t, err)
		require.Nil(t, shown.Key)
		require.Nil(t, shown.Payload)
		require.EqualValues(t, -1, shown.PayloadSize)
		place, err = s.PlaceOf(t.Context(), shown)
		require.NoError(t, err)
		require.Zero(t, place)

		nobody := parked.ID{Name: uuid.NewString()}
		_, err = s.Find(t.Context(), parked.Filter{}, nobody, 10)
		var missing *parked.MissingError
		require.ErrorAs(t, err, &missing)
		require.Equal(t, []parked.ID{nobody}, missing.IDs)
		exec(t, on.DB, fmt.Sprintf("UPDATE outbox_parked SET event_id = '%s'", p[0].name))
		_, err = s.Find(t.Context(), parked.Filter{}, parked.ID{Name: p[0].name}, 10)
		var ambiguous *parked.AmbiguousError
		require.ErrorAs(t, err, &ambiguous)
		require.Equal(t, []int64{p[0].seq, p[1].seq, p[2].seq}, ambiguous.Seqs)
	})
}

func TestARetryMarksFailedRowsAndTheOthersFollow(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := outbox(t, on)
		p := park(t, on, event{"orders", "k", "failed"}, event{"orders", "k", "blocked"},
			event{"orders", "k", "blocked"},
			event{"orders", "j", "failed"}, event{"other", "", "failed"})
		retry := func(r parked.Request) parked.Answer {
			r.State = db.ParkedRetry
			answer, err := s.Request(t.Context(), r)
			require.NoError(t, err)
			return answer
		}
		before := func() { setState(t, on, "failed", p[0], p[3], p[4]) }

		require.Equal(t, parked.Answer{Found: true, Marked: 1, Followers: 2}, retry(parked.Request{IDs: bySeq(p[0])}))
		require.Equal(t, "retry blocked blocked failed failed", states(t, s))
		require.Equal(t, parked.Answer{Found: true, Followers: 2}, retry(parked.Request{IDs: bySeq(p[0])}),
			"asked for already")
		require.Equal(t, parked.Answer{Found: true, Followers: 2}, retry(parked.Request{IDs: bySeq(p[2])}),
			"follows anyway")
		before()
		require.Equal(t, parked.Answer{Found: true, Marked: 2, Followers: 2},
			retry(parked.Request{IDs: []parked.ID{{Name: p[4].name}, {Seq: p[2].seq}, {Seq: p[0].seq}}}))
		require.Equal(t, "retry blocked blocked failed retry", states(t, s))
		before()
		require.Equal(t, parked.Answer{Found: true, Marked: 1, Followers: 2},
			retry(parked.Request{Filter: inKey("orders", "k")}))
		require.Equal(t, "retry blocked blocked failed failed", states(t, s))
		before()
		require.Equal(t, parked.Answer{Found: true, Marked: 2, Followers: 2},
			retry(parked.Request{Filter: parked.Filter{Topic: "orders"}}))
		require.Equal(t, "retry blocked blocked retry failed", states(t, s))
		require.Equal(t, parked.Answer{Found: true, Marked: 1, Followers: 2}, retry(parked.Request{}))
		require.Equal(t, "retry blocked blocked retry retry", states(t, s))
		require.Equal(t, parked.Answer{}, retry(parked.Request{Filter: inKey("orders", "K")}))

		setState(t, on, "drop", p[0])
		retry(parked.Request{IDs: bySeq(p[0])})
		require.Equal(
			t, "retry blocked blocked retry retry", states(t, s), "a drop that was not done yet is taken back",
		)
	})
}

func TestARequestThatIsRefusedChangesNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := outbox(t, on)
		p := park(t, on, event{"orders", "k", "failed"}, event{"orders", "k", "blocked"},
			event{"orders", "k", "failed"},
			event{"orders", "j", "failed"})
		exec(t, on.DB, fmt.Sprintf("UPDATE outbox_parked SET overtaken = true WHERE seq = %d", p[3].seq))
		const before = "failed blocked failed failed"
		nobody := uuid.NewString()
		for name, c := range map[string]struct {
			r    parked.Request
			want error
		}{
			"an id that is not there": {
				parked.Request{State: "retry", IDs: append(bySeq(p[0]), parked.ID{Seq: 999}, parked.ID{Name: nobody})},
				&parked.MissingError{IDs: []parked.ID{{Seq: 999}, {Name: nobody}}},
			},
			"a blocked row": {
				parked.Request{State: "retry", IDs: bySeq(p[1])},
				&parked.BehindError{Seq: p[1].seq, First: p[0].seq, FirstState: "failed", Request: "retry"},
			},
			"a failed row behind another": {
				parked.Request{State: "retry", IDs: bySeq(p[2]), Force: true},
				&parked.BehindError{Seq: p[2].seq, First: p[0].seq, FirstState: "failed", Request: "retry"},
			},
			"an overtaken row": {
				parked.Request{State: "retry", IDs: bySeq(p[0], p[3])},
				&parked.OvertakenError{Seq: p[3].seq, Rows: 1},
			},
			"overtaken rows among others": {
				parked.Request{State: "retry"}, &parked.OvertakenError{Seq: p[3].seq, Rows: 1, ByFilter: true},
			},
			"a drop behind another": {
				parked.Request{State: "drop", Reason: "x", IDs: bySeq(p[1])},
				&parked.BehindError{Seq: p[1].seq, First: p[0].seq, FirstState: "failed", Request: "drop"},
			},
		} {
			_, err := s.Request(t.Context(), c.r)
			joined, ok := err.(interface{ Unwrap() []error })
			if ok && len(joined.Unwrap()) == 1 {
				err = joined.Unwrap()[0]
			}
			require.Equal(t, c.want, err, name)
			require.Equal(t, before, states(t, s), name)
		}
		_, err := s.Request(t.Context(), parked.Request{State: "retry", Force: true, IDs: bySeq(p[3])})
		require.NoError(t, err)
		require.Equal(t, "failed blocked failed retry", states(t, s))
		setState(t, on, "retry", p[0])
		_, err = s.Request(t.Context(), parked.Request{State: "drop", Reason: "x", IDs: bySeq(p[1])})
		var behind *parked.BehindError
		require.ErrorAs(t, err, &behind)
		require.Equal(
			t, parked.BehindError{Seq: p[1].seq, First: p[0].seq, FirstState: "retry", Request: "drop"}, *behind,
		)
	})
}

func TestAnErrorOfTheCountSaysThatTheRowsAreMarked(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		p := park(t, on, event{"orders", "k", "failed"}, event{"orders", "k", "blocked"})
		pool := faultdb.Open(on.DB, func(statement string) faultdb.Fault {
			if strings.Contains(statement, "AS counted") {
				return faultdb.LoseRequest()
			}
			return faultdb.Fault{}
		})
		defer func() { require.NoError(t, pool.Close()) }()
		s, err := parked.Outbox(pool, db.Names{Dialect: on.Dialect})
		require.NoError(t, err)
		for name, r := range map[string]parked.Request{
			"by ids": {State: "retry", IDs: bySeq(p[0])}, "by filter": {State: "retry"},
		} {
			setState(t, on, "failed", p[0])
			_, err = s.Request(t.Context(), r)
			require.ErrorContains(t, err, "rows marked: 1; those behind them could not be counted", name)
			require.Equal(t, "retry blocked", states(t, outbox(t, on)), name)
		}
	})
}

func TestADropKeepsItsReasonBeforeTheError(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := outbox(t, on)
		p := park(t, on, event{"orders", "k", "failed"}, event{"orders", "k", "blocked"},
			event{"orders", "k", "blocked"},
			event{"orders", "j", "failed"})
		r := parked.Request{State: "drop", Reason: `a "test" order`, IDs: bySeq(p[0], p[1])}
		answer, err := s.Request(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, parked.Answer{Found: true, Marked: 2, Followers: 1}, answer)
		require.Equal(t, "drop drop blocked failed", states(t, s))
		r = parked.Request{State: "drop", Reason: "all of it", Filter: inKey("orders", "k")}
		answer, err = s.Request(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, parked.Answer{Found: true, Marked: 1}, answer)
		require.Equal(t, "drop drop drop failed", states(t, s))

		shown, err := s.Find(t.Context(), parked.Filter{}, parked.ID{Seq: p[0].seq}, 10)
		require.NoError(t, err)
		require.Equal(t, `dropped: a "test" order; parked because: too large`, shown.Error)
	})
}

// Hazard dropped-head.
// Were the first rows dropped while the others are not marked yet, their followers would
// be sent. Here the second of two statements fails.
func TestADropOfManyRowsMarksTheFirstOnesLast(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		const all, atOnce = 5003, 5000
		events := make([]event, all)
		for i := range events {
			events[i] = event{"orders", "k", "blocked"}
		}
		events[0].state = "failed"
		park(t, on, events...)
		updates, broken := 0, errors.New("the disk is full")
		faulty := faultdb.Open(on.DB, func(statement string) faultdb.Fault {
			if !strings.HasPrefix(statement, "UPDATE") {
				return faultdb.Fault{}
			}
			if updates++; updates == 2 {
				return faultdb.Fail(broken)
			}
			return faultdb.Fault{}
		})
		defer func() { require.NoError(t, faulty.Close()) }()
		r := parked.Request{State: "drop", Reason: "x"}
		_, err := outbox(t, dbtest.Database{DB: faulty, Dialect: on.Dialect}).Request(t.Context(), r)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "rows marked: 5000; then: ")
		s := outbox(t, on)
		require.Equal(t, "failed blocked blocked"+strings.Repeat(" drop", atOnce), states(t, s))

		answer, err := s.Request(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, parked.Answer{Found: true, Marked: all - atOnce}, answer)
	})
}

// The relay holds a row locked, as long as it moves it. An operator names another one by
// its event, which no index has: the look for it must not wait for the first.
func TestARequestByEventWaitsForNoOtherRow(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			on := dbtest.Migrate(t, fresh(t))
			p := park(t, on, event{"orders", "a", "failed"}, event{"orders", "b", "failed"})
			relay, err := on.DB.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = relay.ExecContext(
				t.Context(), fmt.Sprintf("UPDATE outbox_parked SET attempts = 2 WHERE seq = %d", p[0].seq),
			)
			require.NoError(t, err)
			// Without the limit it would wait for as long as the lock is held.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r := parked.Request{State: db.ParkedRetry, IDs: []parked.ID{{Name: p[1].name}}}
			_, err = outbox(t, on).Request(ctx, r)
			require.NoError(t, err)
			require.NoError(t, relay.Rollback())
			require.Equal(t, "failed retry", states(t, outbox(t, on)))
		})
	}
}
