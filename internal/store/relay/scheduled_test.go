package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
)

func newOutbox(t *testing.T, db dbtest.Database) *outbox.Store {
	t.Helper()
	ob, err := outbox.New(sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return ob
}

// at returns a scheduled event of a key that is due after fromNow. Its type is its name.
func at(key, name string, fromNow time.Duration) outbox.EventRow {
	return outbox.EventRow{
		EventID: uuid.New(), Topic: "orders", Key: key, Type: name, Payload: []byte(name), Headers: "{}",
		DeliverAt: time.Now().Add(fromNow).Truncate(time.Microsecond),
	}
}

func schedule(t *testing.T, db dbtest.Database, rows ...outbox.EventRow) {
	t.Helper()
	require.NoError(t, newOutbox(t, db).ScheduleEvents(t.Context(), db.DB, rows))
}

// moveAll moves until nothing more can be moved now, and returns the number.
func moveAll(t *testing.T, r *relay.Store, l relay.Lease, limit int) (total int) {
	t.Helper()
	for {
		moved, next, err := r.MoveDue(t.Context(), l, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, moved, limit)
		require.Positive(t, next)
		require.LessOrEqual(t, next, time.Second)
		if moved == 0 {
			return total
		}
		total += moved
	}
}

// movedNames returns the types of the events in the outbox, by id, and of the scheduled ones.
func movedNames(t *testing.T, db dbtest.Database) string {
	t.Helper()
	return eventNames(t, db, "SELECT event_type FROM outbox_events ORDER BY id")
}

func scheduledNames(t *testing.T, db dbtest.Database) string {
	t.Helper()
	return eventNames(t, db, "SELECT event_type FROM outbox_scheduled ORDER BY deliver_at, seq")
}

func eventNames(t *testing.T, db dbtest.Database, query string) string {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		all = append(all, name)
	}
	require.NoError(t, rows.Err())
	return strings.Join(all, " ")
}

func TestDueEventsMoveInTheOrderOfTheirTimes(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		past := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
		const n = 1000
		rows := make([]outbox.EventRow, n)
		for i := range rows { // 250 times four events each; 500 keys, more than one transaction takes
			rows[i] = outbox.EventRow{
				EventID: uuid.New(), Topic: "orders", Key: fmt.Sprint(i % 500), Type: fmt.Sprint(i),
				Payload: fmt.Appendf(nil, "%d", i), Headers: "{}",
				DeliverAt: past.Add(time.Duration(i*7919%250) * time.Microsecond),
			}
		}
		later := at("1", "later", time.Hour)
		schedule(t, db, append(rows, later)...)
		moved, _, err := r.MoveDue(t.Context(), l, n)
		require.NoError(t, err)
		var keys int
		require.NoError(
			t, db.DB.QueryRowContext(t.Context(), "SELECT count(DISTINCT event_key) FROM outbox_events").Scan(&keys),
		)
		require.Equal(t, 200, keys, "a bound on the locks of one transaction")
		require.Equal(t, n-moved, moveAll(t, r, l, 300))
		require.Equal(t, "later", scheduledNames(t, db))

		slices.SortStableFunc(rows, func(a, b outbox.EventRow) int { return a.DeliverAt.Compare(b.DeliverAt) })
		var want []string
		for _, row := range rows {
			want = append(want, row.Type)
		}
		require.Equal(t, strings.Join(want, " "), movedNames(t, db))
	})
}

func TestAnEventIsMovedAsItWasWritten(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		var every []byte
		for b := range 256 {
			every = append(every, byte(b))
		}
		rows := []outbox.EventRow{
			{Topic: "orders", Key: "o'1 ü 🛒 ", Type: "order.placed", Payload: every, Headers: `{"a": "\"q\" ü"}`},
			{Topic: "orders", Payload: []byte{}, Headers: "{}"},
			{Topic: "orders", Headers: "{}"},
		}
		for i := range rows {
			rows[i].EventID, rows[i].DeliverAt = uuid.New(), time.Now().Add(-time.Minute)
		}
		schedule(t, db, rows...)
		exec(t, db.DB, "UPDATE outbox_scheduled SET created_at = '"+map[sqldb.Dialect]string{
			sqldb.PostgreSQL: "2024-02-29 12:00:00.123456+00", sqldb.MySQL: "2024-02-29 12:00:00.123456",
			sqldb.SQLite: "2024-02-29T12:00:00.123456Z",
		}[db.Dialect]+"'")
		require.Equal(t, 3, moveAll(t, r, l, 10))

		var got []relay.Row
		_, err := r.Read(t.Context(), relay.ReadQuery{Limit: 10}, func(row *relay.Row) bool {
			got = append(got, *row)
			return true
		})
		require.NoError(t, err)
		require.Len(t, got, 3)
		for i, row := range got {
			require.Equal(t, rows[i].EventID, row.EventID)
			require.Equal(t, rows[i].Topic, row.Topic)
			require.Equal(t, rows[i].Key, string(row.Key))
			require.Equal(t, rows[i].Key == "", row.Key == nil)
			require.Equal(t, rows[i].Type, row.Type)
			require.Equal(t, rows[i].Payload, row.Payload, "a tombstone stays one, and so does an empty payload")
			require.Equal(
				t, "2024-02-29T12:00:00.123456Z", row.CreatedAt.UTC().Format(time.RFC3339Nano), "when it was written",
			)
		}
		require.JSONEq(t, rows[0].Headers, string(got[0].Headers))
	})
}

func TestMoveDueSaysWhenToCallAgain(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		next := func() time.Duration {
			moved, next, err := r.MoveDue(t.Context(), l, 100)
			require.NoError(t, err)
			require.Zero(t, moved)
			return next
		}
		require.Equal(t, time.Second, next(), "nothing is scheduled")
		schedule(t, db, at("k", "far", 10*365*24*time.Hour))
		require.Equal(t, time.Second, next())

		// Here the database's clock is this machine's. Time that passes meanwhile makes the remaining time
		// shorter.
		soon := at("k", "soon", 900*time.Millisecond)
		schedule(t, db, soon)
		began := time.Now()
		moved, rest, err := r.MoveDue(t.Context(), l, 100)
		require.NoError(t, err)
		if moved == 0 && time.Since(began) < 900*time.Millisecond {
			require.LessOrEqual(
				t, rest, 901*time.Millisecond, "SQLite's clock shows whole milliseconds: it may be one behind",
			)
		}
		require.Eventually(t, func() bool {
			_, _, err := r.MoveDue(t.Context(), l, 100)
			return err == nil && movedNames(t, db) == "soon"
		}, 30*time.Second, 10*time.Millisecond)
		require.False(t, time.Now().Before(soon.DeliverAt), "not before its time")
		require.Equal(t, "far", scheduledNames(t, db))
	})
}

func TestAnOwnerWhoseLeaseWasTakenMovesNoScheduledEvents(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		zombie := mustClaim(t, r)
		expire(t, db)
		successor := mustClaim(t, r)
		schedule(t, db, at("k", "due", -time.Second))
		_, _, err := r.MoveDue(t.Context(), zombie, 10)
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Equal(t, "due", scheduledNames(t, db))
		require.Zero(t, countRows(t, db))
		require.Equal(t, 1, moveAll(t, r, successor, 10))
	})
}

func TestWithoutTheTableMoveDueSaysSo(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "DROP TABLE outbox_scheduled")
		r := newRelay(t, db)
		_, _, err := r.MoveDue(t.Context(), mustClaim(t, r), 10)
		require.True(t, sqldb.IsMissingTable(err), "%v", err)
	})
}

func TestMoveDueFindsItsTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		names := migrateElsewhere(t, db)
		r, err := relay.New(db.DB, names, relay.Options{})
		require.NoError(t, err)
		ob, err := outbox.New(names)
		require.NoError(t, err)
		rows := []outbox.EventRow{
			at("a", "1", -time.Minute), at("", "2", -time.Second), at("b", "3", -time.Millisecond),
		}
		require.NoError(t, ob.ScheduleEvents(t.Context(), db.DB, rows))
		require.Equal(t, 3, moveAll(t, r, mustClaim(t, r), 2))
	})
}

// The rights are those of docs/tables.md.
func TestMoveDueNeedsTheDocumentedRightsOnly(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, open(t))
			grants := []string{
				"SELECT, INSERT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases",
				"SELECT, INSERT, UPDATE, DELETE ON outbox_scheduled",
			}
			if db.Dialect == sqldb.MySQL {
				grants = append(grants, "SELECT, UPDATE ON outbox_key_locks")
			}
			user := dbtest.Restricted(t, db, grants...)
			r := newRelay(t, user)
			schedule(t, db, at("k", "1", -time.Minute), at("k", "2", -time.Minute))
			l, claimed, err := newRelay(t, db).Claim(
				t.Context(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: time.Hour},
			)
			require.NoError(t, err)
			require.True(t, claimed)
			require.Equal(t, 2, moveAll(t, r, l, 10))
		})
	}
}

// Statements wait for an answer that does not come. Nothing may wait for longer than its context lives.
func TestMoveDueEndsWithItsContext(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		schedule(t, db, at("k", "due", -time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := r.MoveDue(ctx, l, 10)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "due", scheduledNames(t, db))
	})
}
