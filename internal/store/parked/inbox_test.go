package parked_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/parked"
)

// parkMessages fills inbox_parked: rows are "key state"; the key "-" is none. Keys but "skipped" stand still.
func parkMessages(t *testing.T, on dbtest.Database, rows ...string) (seqs []int64) {
	t.Helper()
	for i, row := range rows {
		var key, state string
		_, err := fmt.Sscan(row, &key, &state)
		require.NoError(t, err)
		value := "'" + key + "'"
		if key == "-" {
			value = "NULL"
		}
		_, err = on.DB.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO inbox_parked (consumer, message_id, topic, "+
			"event_key, error, state) VALUES ('billing', 'm%d', 'orders', %s, 'no', '%s')", i+1, value, state))
		require.NoError(t, err)
		if key != "-" && key != "skipped" {
			_, err = on.DB.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO inbox_blocked (consumer, topic, "+
				"event_key) SELECT 'billing', 'orders', '%[1]s' WHERE NOT EXISTS (SELECT 1 FROM inbox_blocked WHERE "+
				"event_key = '%[1]s')", key))
			require.NoError(t, err)
		}
	}
	rs, err := on.DB.QueryContext(t.Context(), "SELECT seq FROM inbox_parked ORDER BY seq")
	require.NoError(t, err)
	defer rs.Close()
	for rs.Next() {
		var seq int64
		require.NoError(t, rs.Scan(&seq))
		seqs = append(seqs, seq)
	}
	require.NoError(t, rs.Err())
	return seqs
}

func inbox(t *testing.T, on dbtest.Database) *parked.Store {
	t.Helper()
	s, err := parked.Inbox(on.DB, db.Names{Dialect: on.Dialect})
	require.NoError(t, err)
	return s
}

func TestParkedMessagesAreAskedForInTheOrderOfTheirKeysOrNotAtAll(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := inbox(t, on)
		seqs := parkMessages(
			t, on, "k failed", "k blocked", "K failed", "- failed", "skipped failed", "skipped failed", "h blocked",
		)
		before := states(t, s)
		byRow := func(state string, rows ...int) parked.Request {
			ask := parked.Request{State: state, Reason: "agreed"}
			for _, row := range rows {
				ask.IDs = append(ask.IDs, parked.ID{Seq: seqs[row-1]})
			}
			return ask
		}
		for name, refused := range map[string]parked.Request{
			"a follower before its head":  byRow(db.ParkedRetry, 4, 2),
			"a drop of a follower":        byRow(db.ParkedDrop, 4, 2),
			"a row that is not there":     {State: db.ParkedRetry, IDs: []parked.ID{{Seq: seqs[0]}, {Seq: 1 << 40}}},
			"an id in other letters":      {State: db.ParkedRetry, IDs: []parked.ID{{Name: "M1"}}},
			"an id with a space after it": {State: db.ParkedRetry, IDs: []parked.ID{{Name: "m1 "}}},
			"another consumer's under its id": {
				State: db.ParkedDrop, IDs: []parked.ID{{Name: "m1"}}, Filter: parked.Filter{Consumer: "mail"},
			},
		} {
			_, err := s.Request(t.Context(), refused)
			require.Error(t, err, name)
			require.Equal(t, before, states(t, s), name)
		}

		answer, err := s.Request(t.Context(), byRow(db.ParkedRetry, 1, 2, 6, 7))
		require.NoError(t, err)
		require.Equal(
			t, int64(3), answer.Marked,
			"the head, one of a key that does not stand still, and a head that somebody left blocked",
		)
		require.Equal(t, "retry blocked failed failed failed retry retry", states(t, s))

		key := "k"
		_, err = s.Request(t.Context(), parked.Request{
			State: db.ParkedDrop, Reason: "agreed", Filter: parked.Filter{Topic: "orders", Key: &key},
		})
		require.NoError(t, err)
		require.Equal(t, "drop drop failed failed failed retry retry", states(t, s), "the key K is another one")
		e, err := s.Find(t.Context(), parked.Filter{}, parked.ID{Name: "m1"}, 10)
		require.NoError(t, err)
		require.Equal(t, "dropped: agreed; parked because: no", e.Error)

		_, err = s.Request(t.Context(), parked.Request{State: db.ParkedRetry})
		require.NoError(t, err)
		require.Equal(t, "drop drop retry retry retry retry retry", states(t, s))
	})
}

// A row that waits and is the first of its key waits behind nothing: a retry of all means it too, and not its
// followers.
func TestARetryByFilterTakesHeadsThatWait(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, on dbtest.Database) {
		s := inbox(t, on)
		parkMessages(
			t, on, "k blocked", "k blocked", "other blocked", "f failed", "f blocked", "loose failed", "loose blocked",
		)
		key := "k"
		answer, err := s.Request(
			t.Context(), parked.Request{State: db.ParkedRetry, Filter: parked.Filter{Topic: "orders", Key: &key}},
		)
		require.NoError(t, err)
		require.Equal(t, parked.Answer{Found: true, Marked: 1, Followers: 1}, answer)
		require.Equal(t, "retry blocked blocked failed blocked failed blocked", states(t, s))
		answer, err = s.Request(t.Context(), parked.Request{State: db.ParkedRetry})
		require.NoError(t, err)
		require.Equal(t, parked.Answer{Found: true, Marked: 3, Followers: 3}, answer)
		require.Equal(t, "retry blocked retry retry blocked retry blocked", states(t, s))
	})
}
