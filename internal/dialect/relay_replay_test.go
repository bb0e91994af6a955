package dialect_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// archiveAll moves all rows of outbox_events into the archive.
func archiveAll(t *testing.T, r *dialect.Relay, l dialect.Lease) {
	t.Helper()
	list := deliveredList(eventsAbove(t, r, 0))
	n, err := r.DeleteArchiving(t.Context(), l, list)
	require.NoError(t, err)
	require.EqualValues(t, len(list), n)
}

func listArchived(t *testing.T, r *dialect.Relay, s dialect.Selection) []dialect.Archived {
	t.Helper()
	if s.UpTo == 0 {
		s.UpTo = math.MaxInt64
	}
	list, err := r.ListArchived(t.Context(), s, 1000)
	require.NoError(t, err)
	m, err := r.CountArchived(t.Context(), s)
	require.NoError(t, err)
	require.EqualValues(t, len(list), m.Count)
	if len(list) > 0 {
		require.Equal(t, list[0].Seq, m.First)
		require.Equal(t, list[len(list)-1].Seq, m.Last)
	}
	return list
}

// idsOf says which rows of outbox_events those of the archive were.
func idsOf(t *testing.T, db dbtest.Database, list []dialect.Archived) (ids []int64) {
	t.Helper()
	for _, a := range list {
		var id int64
		require.NoError(t, db.DB.QueryRowContext(t.Context(), fmt.Sprint("SELECT id FROM outbox_archive WHERE seq = ", a.Seq)).Scan(&id))
		ids = append(ids, id)
	}
	return ids
}

func TestASelectionFindsWhatItSays(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		e := insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", ""}, keyed{"orders", "K"}, keyed{"orders", "k "}, keyed{"stock", "k"}, keyed{"orders", "k"})
		archiveAll(t, r, l)
		// An hour between one and the next; the last was delivered an hour ago.
		for i, event := range e {
			exec(t, db.DB, fmt.Sprintf(map[dialect.Dialect]string{
				dialect.PostgreSQL: "UPDATE outbox_archive SET delivered_at = now() - %d * interval '1 hour' WHERE id = %d",
				dialect.MySQL:      "UPDATE outbox_archive SET delivered_at = UTC_TIMESTAMP(6) - INTERVAL %d HOUR WHERE id = %d",
				dialect.SQLite:     "UPDATE outbox_archive SET delivered_at = strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now', '-%d hours') || '000Z' WHERE id = %d",
			}[db.Dialect], len(e)-i, event.ID))
		}
		now, err := r.Now(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), now, time.Minute)
		ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
		key := func(s string) *string { return &s }
		last, err := r.LastArchived(t.Context())
		require.NoError(t, err)

		for name, c := range map[string]struct {
			s    dialect.Selection
			want []int
		}{
			"all":                    {dialect.Selection{}, []int{0, 1, 2, 3, 4, 5}},
			"since":                  {dialect.Selection{Since: ago(210)}, []int{3, 4, 5}},
			"until":                  {dialect.Selection{Until: ago(210)}, []int{0, 1, 2}},
			"a span":                 {dialect.Selection{Since: ago(330), Until: ago(210)}, []int{1, 2}},
			"a topic":                {dialect.Selection{Topic: "orders"}, []int{0, 1, 2, 3, 5}},
			"a key, by its bytes":    {dialect.Selection{Topic: "orders", Key: key("k")}, []int{0, 5}},
			"a key with a space":     {dialect.Selection{Topic: "orders", Key: key("k ")}, []int{3}},
			"a key since":            {dialect.Selection{Topic: "orders", Key: key("k"), Since: ago(210)}, []int{5}},
			"ids":                    {dialect.Selection{Events: []uuid.UUID{e[4].EventID, uuid.New(), e[1].EventID}}, []int{1, 4}},
			"after":                  {dialect.Selection{After: last - 1}, []int{5}},
			"up to":                  {dialect.Selection{UpTo: last - 1}, []int{0, 1, 2, 3, 4}},
			"nothing":                {dialect.Selection{Topic: "other"}, nil},
			"a topic that is no SQL": {dialect.Selection{Topic: "o' OR 1=1 -- %s"}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				var want []int64
				for _, i := range c.want {
					want = append(want, e[i].ID)
				}
				require.Equal(t, want, idsOf(t, db, listArchived(t, r, c.s)))
			})
		}

		missing, err := r.MissingArchived(t.Context(), []uuid.UUID{e[0].EventID, {1}, e[2].EventID, {2}, {1}})
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{{1}, {2}}, missing)
	})
}

func TestWhatIsPutBackIsTheSameEventInTheSameOrder(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		e := insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", ""}, keyed{"orders", "k"}, keyed{"stock", "k"})
		before := withoutID(wholeRows(t, db, dialect.Events))
		archiveAll(t, r, l)
		list := listArchived(t, r, dialect.Selection{})
		n, err := r.PutBack(t.Context(), list, false)
		require.NoError(t, err)
		require.EqualValues(t, 4, n)
		require.Equal(t, before, withoutID(wholeRows(t, db, dialect.Events)))
		back := eventsAbove(t, r, 0)
		require.Greater(t, back[0].ID, e[3].ID, "as new rows: the relay reads them as any other")

		archiveAll(t, r, l)
		require.Equal(t, list, listArchived(t, r, dialect.Selection{}), "an event that was replayed is found once, where it was first")

		n, err = r.PutBack(t.Context(), append(list[:2:2], dialect.Archived{Seq: 1 << 40}), true)
		require.NoError(t, err)
		require.EqualValues(t, 2, n, "one is not there any more")
		fresh := eventsAbove(t, r, 0)
		require.Len(t, fresh, 2)
		require.NotEqual(t, e[0].EventID, fresh[0].EventID)
		require.NotEqual(t, fresh[0].EventID, fresh[1].EventID)
		require.Equal(t, withoutEventID(before[:2]), withoutEventID(withoutID(wholeRows(t, db, dialect.Events))))
	})
}

// withoutID and withoutEventID cut the first words of what wholeRows printed.
func withoutID(rows []string) (cut []string) {
	for _, row := range rows {
		_, rest, _ := strings.Cut(row, " ")
		cut = append(cut, rest)
	}
	return cut
}

func withoutEventID(rows []string) []string {
	for i, row := range rows {
		rows[i] = row[strings.Index(row, "orders"):]
	}
	return rows
}

// Hazard move-beside-writer.
// A writer that uses StrictKeyOrder has written an event of the key, and its transaction
// is open: what is put back comes after it, or it would come in the middle.
func TestPuttingBackWaitsForAWriterOfTheKey(t *testing.T) {
	each := func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", "other"})
		archiveAll(t, r, l)
		list := listArchived(t, r, dialect.Selection{})

		box, err := dialect.NewOutbox(dialect.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		writer := begin(t, db.DB, nil)
		require.NoError(t, box.LockKeys(t.Context(), writer, []dialect.EventKey{{Topic: "orders", Key: "k"}}))
		_, err = r.PutBack(t.Context(), list[1:], false)
		require.NoError(t, err, "another key waits for nobody")

		done := make(chan error, 1)
		go func() {
			_, err := r.PutBack(context.WithoutCancel(t.Context()), list[:1], false)
			done <- err
		}()
		waiting := map[dialect.Dialect]string{
			dialect.PostgreSQL: "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
			dialect.MySQL: `SELECT COUNT(*) FROM information_schema.innodb_trx AS t JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()`,
		}[db.Dialect]
		// 150 ms: InnoDB shows the same picture until nobody has looked for 100.
		require.Eventually(t, func() bool {
			var n int
			require.NoError(t, db.DB.QueryRowContext(t.Context(), waiting).Scan(&n))
			return n > 0 || len(done) > 0
		}, 30*time.Second, 150*time.Millisecond, "it never asked for the lock")
		require.Empty(t, done, "it did not wait")
		require.NoError(t, box.InsertEvents(t.Context(), writer, []dialect.EventRow{{EventID: uuid.New(), Topic: "orders", Key: "k", Headers: "{}"}}))
		require.NoError(t, writer.Commit())
		require.NoError(t, <-done)
		all := eventsAbove(t, r, 0)
		require.Len(t, all, 3)
		require.Equal(t, deliveredEvent(t, db, list[0]), all[2].EventID, "after the writer's event")
	}
	t.Run("postgresql15", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.PostgreSQL(t))) })
	t.Run("mariadb", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.MariaDB(t))) })
}

func deliveredEvent(t *testing.T, db dbtest.Database, a dialect.Archived) (id uuid.UUID) {
	t.Helper()
	require.NoError(t, db.DB.QueryRowContext(t.Context(), fmt.Sprint("SELECT event_id FROM outbox_archive WHERE seq = ", a.Seq)).Scan(&id))
	return id
}

func TestASelectionGoesByAnIndex(t *testing.T) {
	t.Parallel()
	key := "77"
	someIDs := []uuid.UUID{uuid.New(), uuid.New()}
	selections := map[string]struct {
		s    dialect.Selection
		want string
	}{
		"of a minute": {dialect.Selection{Since: time.Now().Add(-time.Minute), UpTo: 1 << 40}, "outbox_archive_delivered_at_idx"},
		"of a key":    {dialect.Selection{Topic: "orders", Key: &key, UpTo: 1 << 40}, "outbox_archive_key_idx"},
		"of ids":      {dialect.Selection{Events: someIDs, UpTo: 1 << 40}, "outbox_archive_event_id_idx"},
	}
	t.Run("postgresql", func(t *testing.T) {
		withArchive(t, dbtest.PostgreSQL, func(t *testing.T, db dbtest.Database) {
			for name, c := range selections {
				statement, args := newRelay(t, db).CountArchivedSQL(c.s)
				plan := planOn(t, db.DB, false, "bigint, bigint"+strings.Repeat(", text", len(args)-2), statement, args...)
				require.Contains(t, plan, c.want, "%s\n%s", name, plan)
				require.NotContains(t, plan, "Seq Scan", "%s\n%s", name, plan)
			}
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		withArchive(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
			for name, c := range selections {
				statement, args := newRelay(t, db).CountArchivedSQL(c.s)
				plan := explained(t, db, "EXPLAIN "+statement, args)
				require.NotContains(t, plan, " ALL ", "%s\n%s", name, plan)
				require.Contains(t, plan, c.want, "%s\n%s", name, plan)
			}
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		withArchive(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
			for name, c := range selections {
				statement, args := newRelay(t, db).CountArchivedSQL(c.s)
				plan := explained(t, db, "EXPLAIN QUERY PLAN "+statement, args)
				require.NotContains(t, plan, "SCAN", "%s\n%s", name, plan)
			}
		})
	})
}
