package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// insert writes rows with the payloads first to last, and returns their ids.
func insert(t *testing.T, db dbtest.Database, n int) (ids []int64) {
	t.Helper()
	from := maxID(t, db.DB)
	tx := begin(t, db.DB, nil)
	for i := range n {
		_, err := tx.ExecContext(
			t.Context(), fmt.Sprintf("INSERT INTO outbox_events (topic, payload) VALUES ('orders', '%d')", i),
		)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	for _, e := range eventsAbove(t, newRelay(t, db), from) {
		ids = append(ids, e.ID)
	}
	require.Len(t, ids, n)
	return ids
}

func maxID(t *testing.T, db *sql.DB) (id int64) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COALESCE(MAX(id), 0) FROM outbox_events").Scan(&id))
	return id
}

func countRows(t *testing.T, db dbtest.Database) (n int) {
	t.Helper()
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM outbox_events").Scan(&n))
	return n
}

// readIDs returns the ids that a query returns, at most most of them.
func readIDs(t *testing.T, r *relay.Store, q relay.ReadQuery, most int) (ids []int64) {
	t.Helper()
	info, err := r.Read(t.Context(), q, func(row *relay.Row) bool {
		ids = append(ids, row.ID)
		return len(ids) < most
	})
	require.NoError(t, err)
	require.NotEmpty(t, info.Server)
	require.False(t, info.Standby)
	return ids
}

func TestAReadShowsTheGapsAndWhatIsAboveTheHead(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		const all = 1 << 20
		require.Empty(t, readIDs(t, r, relay.ReadQuery{Limit: 10}, all))
		require.Empty(t, readIDs(t, r, relay.ReadQuery{Gaps: []relay.Range{{Lo: 1, Hi: 5}}, Head: 9, Limit: 10}, all))
		id := insert(t, db, 20)
		gaps := []relay.Range{{Lo: id[2], Hi: id[2]}, {Lo: id[4], Hi: id[7]}, {Lo: id[9], Hi: id[9]}}
		require.Greater(t, id[0], int64(0))

		for _, test := range []struct {
			name string
			q    relay.ReadQuery
			most int
			want []int64
		}{
			{"from the start", relay.ReadQuery{Limit: 100}, all, id},
			{"above a head", relay.ReadQuery{Head: id[14], Limit: 100}, all, id[15:]},
			{"a limit", relay.ReadQuery{Head: id[4], Limit: 3}, all, id[5:8]},
			{
				"gaps, then the tail", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 100}, all,
				concat(id[2:3], id[4:8], id[9:10], id[18:]),
			},
			{
				"gaps alone", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 100, GapsOnly: true}, all,
				concat(id[2:3], id[4:8], id[9:10]),
			},
			{
				"a gap with nothing in it",
				relay.ReadQuery{Gaps: []relay.Range{{Lo: -5, Hi: 0}}, Head: id[18], Limit: 100}, all, id[19:],
			},
			// A row above the head could overtake one of its key in a gap that the read did not reach.
			{
				"gaps cut by the limit hide the tail", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 4}, all,
				concat(id[2:3], id[4:7]),
			},
			{
				"gaps that just fit may hide the tail", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 6}, all,
				concat(id[2:3], id[4:8], id[9:10]),
			},
			{
				"gaps that fit do not", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 7}, all,
				concat(id[2:3], id[4:8], id[9:10], id[18:]),
			},
			{"a visitor may stop", relay.ReadQuery{Gaps: gaps, Head: id[17], Limit: 100}, 2, concat(id[2:3], id[4:5])},
			{"a visitor may stop in the tail", relay.ReadQuery{Limit: 100}, 7, id[:7]},
		} {
			t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, readIDs(t, r, test.q, test.most)) })
		}
	})
}

func concat(parts ...[]int64) (all []int64) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestAReadTakesAsManyGapsAsTheRelayKeeps(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		ids := insert(t, db, 1100)
		var gaps []relay.Range
		var want []int64
		for i := 0; i < 1024; i += 2 {
			gaps = append(gaps, relay.Range{Lo: ids[i], Hi: ids[i]})
			want = append(want, ids[i])
		}
		q := relay.ReadQuery{Gaps: gaps, Head: ids[1098], Limit: 2000}
		require.Equal(t, append(want, ids[1099]), readIDs(t, r, q, 1<<20))
	})
}

func TestAReadReturnsTheColumnsAsTheyWereWritten(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, `INSERT INTO outbox_events (topic) VALUES ('bare')`)
		exec(t, db.DB, `INSERT INTO outbox_events (event_id, topic, event_key, event_type, payload, headers)
VALUES ('0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d', 'full', 'k ', 'order.placed', 'v', '{"a": "b"}')`)
		exec(t, db.DB, `INSERT INTO outbox_events (topic, event_key, payload) VALUES ('empty', '', '')`)
		var rows []relay.Row
		_, err := newRelay(t, db).Read(t.Context(), relay.ReadQuery{Limit: 10}, func(row *relay.Row) bool {
			rows = append(rows, *row)
			return true
		})
		require.NoError(t, err)
		require.Len(t, rows, 3)
		require.Nil(t, rows[0].Key)
		require.Nil(t, rows[0].Payload)
		require.Empty(t, rows[0].Type)
		require.NotZero(t, rows[0].EventID)
		var created string
		require.NoError(t, db.DB.QueryRow("SELECT MAX(created_at) FROM outbox_events").Scan(&created))
		require.Contains(t, created, rows[2].CreatedAt.Format("2006-01-02"))

		require.Equal(t, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d", rows[1].EventID.String())
		require.Equal(t, []string{"full", "k ", "order.placed", "v"},
			[]string{rows[1].Topic, string(rows[1].Key), rows[1].Type, string(rows[1].Payload)})
		require.JSONEq(t, `{"a": "b"}`, string(rows[1].Headers))
		require.NotNil(t, rows[2].Key, "an empty key is not no key")
		require.NotNil(t, rows[2].Payload, "an empty payload is not a tombstone")
		require.Empty(t, rows[2].Payload)
	})
}

func TestTheServerKeepsItsIdentity(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		seen := make(map[string]bool)
		for range 3 {
			info, err := r.Read(t.Context(), relay.ReadQuery{Limit: 1}, func(*relay.Row) bool { return true })
			require.NoError(t, err)
			seen[info.Server] = true
		}
		require.Len(t, seen, 1)
	})
}

func TestAReadOfMissingTablesSaysSo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		_, err := r.Read(context.Background(), relay.ReadQuery{Limit: 1}, func(*relay.Row) bool { return true })
		require.True(t, sqldb.IsMissingTable(err), "%v", err)
		_, err = r.Inspect(t.Context(), "default")
		require.True(t, sqldb.IsMissingTable(err), "%v", err)
	})
}
