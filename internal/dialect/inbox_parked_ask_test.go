package dialect_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// parkMessages fills inbox_parked: rows are "key state"; the key "-" is none. Keys but "skipped" stand still.
func parkMessages(t *testing.T, db dbtest.Database, rows ...string) (seqs []int64) {
	t.Helper()
	for i, row := range rows {
		var key, state string
		_, err := fmt.Sscan(row, &key, &state)
		require.NoError(t, err)
		value := "'" + key + "'"
		if key == "-" {
			value = "NULL"
		}
		_, err = db.DB.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO inbox_parked (consumer, message_id, topic, event_key, error, state) VALUES ('billing', 'm%d', 'orders', %s, 'no', '%s')", i+1, value, state))
		require.NoError(t, err)
		if key != "-" && key != "skipped" {
			_, err = db.DB.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO inbox_blocked (consumer, topic, event_key) SELECT 'billing', 'orders', '%[1]s' WHERE NOT EXISTS (SELECT 1 FROM inbox_blocked WHERE event_key = '%[1]s')", key))
			require.NoError(t, err)
		}
	}
	rs, err := db.DB.QueryContext(t.Context(), "SELECT seq FROM inbox_parked ORDER BY seq")
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

func parkedStatesOf(t *testing.T, db dbtest.Database) (states []string) {
	t.Helper()
	entries, more, err := dialect.ListInboxParked(t.Context(), db.DB, dialect.Names{Dialect: db.Dialect}, dialect.InboxParkedFilter{}, 100)
	require.NoError(t, err)
	require.False(t, more)
	for _, e := range entries {
		states = append(states, e.State)
	}
	return states
}

func TestParkedMessagesAreAskedForInTheOrderOfTheirKeysOrNotAtAll(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		n := dialect.Names{Dialect: db.Dialect}
		seqs := parkMessages(t, db, "k failed", "k blocked", "K failed", "- failed", "skipped failed", "skipped failed", "h blocked")
		before := parkedStatesOf(t, db)
		byRow := func(state string, rows ...int) dialect.InboxParkedAsk {
			ask := dialect.InboxParkedAsk{State: state, Reason: "agreed"}
			for _, row := range rows {
				ask.IDs = append(ask.IDs, dialect.InboxParkedID{Seq: seqs[row-1]})
			}
			return ask
		}
		for name, refused := range map[string]dialect.InboxParkedAsk{
			"a follower before its head":      byRow(dialect.ParkRetry, 4, 2),
			"a drop of a follower":            byRow(dialect.ParkDrop, 4, 2),
			"a row that is not there":         {State: dialect.ParkRetry, IDs: []dialect.InboxParkedID{{Seq: seqs[0]}, {Seq: 1 << 40}}},
			"an id in other letters":          {State: dialect.ParkRetry, IDs: []dialect.InboxParkedID{{MessageID: "M1"}}},
			"an id with a space after it":     {State: dialect.ParkRetry, IDs: []dialect.InboxParkedID{{MessageID: "m1 "}}},
			"another consumer's under its id": {State: dialect.ParkDrop, IDs: []dialect.InboxParkedID{{MessageID: "m1"}}, Filter: dialect.InboxParkedFilter{Consumer: "mail"}},
		} {
			_, err := dialect.AskInboxParked(t.Context(), db.DB, n, refused)
			require.Error(t, err, name)
			require.Equal(t, before, parkedStatesOf(t, db), name)
		}

		answer, err := dialect.AskInboxParked(t.Context(), db.DB, n, byRow(dialect.ParkRetry, 1, 2, 6, 7))
		require.NoError(t, err)
		require.Equal(t, int64(3), answer.Marked, "the head, one of a key that does not stand still, and a head that somebody left blocked")
		require.Equal(t, []string{"retry", "blocked", "failed", "failed", "failed", "retry", "retry"}, parkedStatesOf(t, db))

		key := "k"
		_, err = dialect.AskInboxParked(t.Context(), db.DB, n, dialect.InboxParkedAsk{
			State: dialect.ParkDrop, Reason: "agreed", Filter: dialect.InboxParkedFilter{Topic: "orders", Key: &key},
		})
		require.NoError(t, err)
		require.Equal(t, []string{"drop", "drop", "failed", "failed", "failed", "retry", "retry"}, parkedStatesOf(t, db), "the key K is another one")
		e, err := dialect.FindInboxParked(t.Context(), db.DB, n, dialect.InboxParkedFilter{}, dialect.InboxParkedID{MessageID: "m1"}, 10)
		require.NoError(t, err)
		require.Equal(t, "dropped: agreed; parked because: no", e.Error)

		_, err = dialect.AskInboxParked(t.Context(), db.DB, n, dialect.InboxParkedAsk{State: dialect.ParkRetry})
		require.NoError(t, err)
		require.Equal(t, []string{"drop", "drop", "retry", "retry", "retry", "retry", "retry"}, parkedStatesOf(t, db))
	})
}

// A row that waits and is the first of its key waits behind nothing: a retry of all means it too, and not its followers.
func TestARetryByFilterTakesHeadsThatWait(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		n := dialect.Names{Dialect: db.Dialect}
		parkMessages(t, db, "k blocked", "k blocked", "other blocked", "f failed", "f blocked", "loose failed", "loose blocked")
		key := "k"
		answer, err := dialect.AskInboxParked(t.Context(), db.DB, n, dialect.InboxParkedAsk{State: dialect.ParkRetry, Filter: dialect.InboxParkedFilter{Topic: "orders", Key: &key}})
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 1, Followers: 1}, answer)
		require.Equal(t, []string{"retry", "blocked", "blocked", "failed", "blocked", "failed", "blocked"}, parkedStatesOf(t, db))
		answer, err = dialect.AskInboxParked(t.Context(), db.DB, n, dialect.InboxParkedAsk{State: dialect.ParkRetry})
		require.NoError(t, err)
		require.Equal(t, dialect.ParkedAnswer{Found: true, Marked: 3, Followers: 3}, answer)
		require.Equal(t, []string{"retry", "blocked", "retry", "retry", "blocked", "retry", "blocked"}, parkedStatesOf(t, db))
	})
}
