package archive_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/archive"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
)

type keyed = storetest.Keyed

func newStore(t *testing.T, db dbtest.Database) *archive.Store {
	t.Helper()
	s, err := archive.New(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return s
}

// rowsOf lists outbox_events.
func rowsOf(t *testing.T, db dbtest.Database) []relay.Event {
	t.Helper()
	all, err := sqldb.Rows(t.Context(), db.DB, func(e *relay.Event) []any { return []any{&e.ID, &e.EventID} },
		"SELECT id, event_id FROM outbox_events ORDER BY id")
	require.NoError(t, err)
	return all
}

// archiveAll moves all rows of outbox_events into the archive.
func archiveAll(t *testing.T, db dbtest.Database) {
	t.Helper()
	const columns = "id, event_id, topic, event_key, event_type, payload, headers, created_at"
	dbtest.Exec(
		t, db.DB, "INSERT INTO outbox_archive ("+columns+") SELECT "+columns+" FROM outbox_events ORDER BY id",
	)
	dbtest.Exec(t, db.DB, "DELETE FROM outbox_events")
}

// wholeRows prints the rows of outbox_events without their ids.
func wholeRows(t *testing.T, db dbtest.Database) []string {
	t.Helper()
	all, err := sqldb.Rows(t.Context(), db.DB, func(row *[6]sql.NullString) []any {
		return []any{&row[0], &row[1], &row[2], &row[3], &row[4], &row[5]}
	}, "SELECT event_id, topic, event_key, event_type, payload, '' || created_at FROM outbox_events ORDER BY id")
	require.NoError(t, err)
	var rows []string
	for _, row := range all {
		rows = append(rows, fmt.Sprint(row))
	}
	return rows
}

func list(t *testing.T, s *archive.Store, sel archive.Selection) []archive.Row {
	t.Helper()
	if sel.UpTo == 0 {
		sel.UpTo = math.MaxInt64
	}
	rows, err := s.List(t.Context(), sel, 1000)
	require.NoError(t, err)
	m, err := s.Count(t.Context(), sel)
	require.NoError(t, err)
	require.EqualValues(t, len(rows), m.Count)
	if len(rows) > 0 {
		require.Equal(t, rows[0].Seq, m.First)
		require.Equal(t, rows[len(rows)-1].Seq, m.Last)
	}
	return rows
}

// idsOf says which rows of outbox_events those of the archive were.
func idsOf(t *testing.T, db dbtest.Database, list []archive.Row) (ids []int64) {
	t.Helper()
	for _, a := range list {
		var id int64
		require.NoError(t, db.DB.QueryRowContext(
			t.Context(), fmt.Sprint("SELECT id FROM outbox_archive WHERE seq = ", a.Seq),
		).Scan(&id))
		ids = append(ids, id)
	}
	return ids
}

func TestASelectionFindsWhatItSays(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		s := newStore(t, db)
		e := storetest.Insert(
			t, db, keyed{"orders", "k"}, keyed{"orders", ""}, keyed{"orders", "K"}, keyed{"orders", "k "},
			keyed{"stock", "k"}, keyed{"orders", "k"},
		)
		archiveAll(t, db)
		// An hour between one and the next; the last was delivered an hour ago.
		for i, event := range e {
			dbtest.Exec(t, db.DB, fmt.Sprintf(map[sqldb.Dialect]string{
				sqldb.PostgreSQL: "UPDATE outbox_archive SET delivered_at = now() - %d * interval '1 hour' WHERE id " +
					"= %d",
				sqldb.MySQL: "UPDATE outbox_archive SET delivered_at = UTC_TIMESTAMP(6) - INTERVAL %d HOUR WHERE id " +
					"= %d",
				sqldb.SQLite: "UPDATE outbox_archive SET delivered_at = strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now', " +
					"'-%d hours') || '000Z' WHERE id = %d",
			}[db.Dialect], len(e)-i, event.ID))
		}
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), now, time.Minute)
		ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
		key := func(s string) *string { return &s }
		last, err := s.Last(t.Context())
		require.NoError(t, err)

		for name, c := range map[string]struct {
			sel  archive.Selection
			want []int
		}{
			"all":                 {archive.Selection{}, []int{0, 1, 2, 3, 4, 5}},
			"since":               {archive.Selection{Since: ago(210)}, []int{3, 4, 5}},
			"until":               {archive.Selection{Until: ago(210)}, []int{0, 1, 2}},
			"a span":              {archive.Selection{Since: ago(330), Until: ago(210)}, []int{1, 2}},
			"a topic":             {archive.Selection{Topic: "orders"}, []int{0, 1, 2, 3, 5}},
			"a key, by its bytes": {archive.Selection{Topic: "orders", Key: key("k")}, []int{0, 5}},
			"a key with a space":  {archive.Selection{Topic: "orders", Key: key("k ")}, []int{3}},
			"a key since":         {archive.Selection{Topic: "orders", Key: key("k"), Since: ago(210)}, []int{5}},
			"ids": {
				archive.Selection{Events: []uuid.UUID{e[4].EventID, uuid.New(), e[1].EventID}}, []int{1, 4},
			},
			"after":                  {archive.Selection{After: last - 1}, []int{5}},
			"up to":                  {archive.Selection{UpTo: last - 1}, []int{0, 1, 2, 3, 4}},
			"nothing":                {archive.Selection{Topic: "other"}, nil},
			"a topic that is no SQL": {archive.Selection{Topic: "o' OR 1=1 -- %s"}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				var want []int64
				for _, i := range c.want {
					want = append(want, e[i].ID)
				}
				require.Equal(t, want, idsOf(t, db, list(t, s, c.sel)))
			})
		}

		missing, err := s.Missing(t.Context(), []uuid.UUID{e[0].EventID, {1}, e[2].EventID, {2}, {1}})
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{{1}, {2}}, missing)
	})
}

func TestWhatIsPutBackIsTheSameEventInTheSameOrder(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		s := newStore(t, db)
		k := keyed{"orders", "k"}
		e := storetest.Insert(t, db, k, keyed{"orders", ""}, k, keyed{"stock", "k"})
		before := wholeRows(t, db)
		archiveAll(t, db)
		found := list(t, s, archive.Selection{})
		n, err := s.PutBack(t.Context(), found, false)
		require.NoError(t, err)
		require.EqualValues(t, 4, n)
		require.Equal(t, before, wholeRows(t, db))
		back := rowsOf(t, db)
		require.Greater(t, back[0].ID, e[3].ID, "as new rows: the relay reads them as any other")

		archiveAll(t, db)
		require.Equal(
			t, found, list(t, s, archive.Selection{}), "an event that was replayed is found once, where it was first",
		)

		n, err = s.PutBack(t.Context(), append(found[:2:2], archive.Row{Seq: 1 << 40}), true)
		require.NoError(t, err)
		require.EqualValues(t, 2, n, "one is not there any more")
		fresh := rowsOf(t, db)
		require.Len(t, fresh, 2)
		require.NotEqual(t, e[0].EventID, fresh[0].EventID)
		require.NotEqual(t, fresh[0].EventID, fresh[1].EventID)
		require.Equal(t, withoutEventID(before[:2]), withoutEventID(wholeRows(t, db)))
	})
}

// withoutEventID cuts the first words of what wholeRows printed.
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
		s := newStore(t, db)
		storetest.Insert(t, db, keyed{"orders", "k"}, keyed{"orders", "other"})
		archiveAll(t, db)
		found := list(t, s, archive.Selection{})

		box, err := outbox.New(sqldb.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		writer := dbtest.Begin(t, db.DB, nil)
		require.NoError(t, box.LockKeys(t.Context(), writer, []sqldb.EventKey{{Topic: "orders", Key: "k"}}))
		_, err = s.PutBack(t.Context(), found[1:], false)
		require.NoError(t, err, "another key waits for nobody")

		done := make(chan error, 1)
		go func() {
			_, err := s.PutBack(context.WithoutCancel(t.Context()), found[:1], false)
			done <- err
		}()
		waiting := map[sqldb.Dialect]string{
			sqldb.PostgreSQL: "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND " +
				"database = (SELECT oid FROM pg_database WHERE datname = current_database())",
			sqldb.MySQL: `SELECT COUNT(*) FROM information_schema.innodb_trx AS t
JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()`,
		}[db.Dialect]
		// 150 ms: InnoDB shows the same picture until nobody has looked for 100.
		require.Eventually(t, func() bool {
			var n int
			require.NoError(t, db.DB.QueryRowContext(t.Context(), waiting).Scan(&n))
			return n > 0 || len(done) > 0
		}, 30*time.Second, 150*time.Millisecond, "it never asked for the lock")
		require.Empty(t, done, "it did not wait")
		require.NoError(t, box.InsertEvents(
			t.Context(), writer, []outbox.EventRow{{EventID: uuid.New(), Topic: "orders", Key: "k", Headers: "{}"}},
		))
		require.NoError(t, writer.Commit())
		require.NoError(t, <-done)
		all := rowsOf(t, db)
		require.Len(t, all, 3)
		require.Equal(t, deliveredEvent(t, db, found[0]), all[2].EventID, "after the writer's event")
	}
	t.Run("postgresql15", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.PostgreSQL(t))) })
	t.Run("mariadb", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.MariaDB(t))) })
}

func deliveredEvent(t *testing.T, db dbtest.Database, a archive.Row) (id uuid.UUID) {
	t.Helper()
	require.NoError(t, db.DB.QueryRowContext(
		t.Context(), fmt.Sprint("SELECT event_id FROM outbox_archive WHERE seq = ", a.Seq),
	).Scan(&id))
	return id
}

// By true statistics, and by those of the empty table that it was before.
func TestASelectionGoesByAnIndex(t *testing.T) {
	t.Parallel()
	key := "77"
	selections := map[string]struct {
		sel  archive.Selection
		want string
	}{
		"of a minute": {
			archive.Selection{Since: time.Now().Add(-time.Minute), UpTo: 1 << 40}, "outbox_archive_delivered_at_idx",
		},
		"of a key": {archive.Selection{Topic: "orders", Key: &key, UpTo: 1 << 40}, "outbox_archive_key_idx"},
		"of ids": {
			archive.Selection{Events: []uuid.UUID{uuid.New(), uuid.New()}, UpTo: 1 << 40},
			"outbox_archive_event_id_idx",
		},
	}
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB, "sqlite": dbtest.SQLite,
	} {
		for _, empty := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, statistics of an empty table %t", name, empty), func(t *testing.T) {
				db := dbtest.Migrate(t, fresh(t))
				switch db.Dialect {
				case sqldb.PostgreSQL: // or autovacuum would mend them meanwhile
					dbtest.Exec(t, db.DB, "ALTER TABLE outbox_archive SET (autovacuum_enabled = false)")
				case sqldb.MySQL:
					dbtest.Exec(t, db.DB, "ALTER TABLE outbox_archive STATS_AUTO_RECALC = 0")
				}
				if empty {
					dbtest.Analyze(t, db, sqldb.Archive)
				}
				dbtest.FillArchive(t, db, dbtest.PlanRows(db))
				if !empty {
					dbtest.Analyze(t, db, sqldb.Archive)
				}
				for what, c := range selections {
					statement, args := newStore(t, db).CountSQL(c.sel)
					plan := dbtest.Plan(t, db, statement, args...)
					if db.Dialect != sqldb.SQLite {
						require.Contains(t, plan, c.want, "%s\n%s", what, plan)
					}
					for _, scan := range sqldb.For(
						db.Dialect, []string{"Seq Scan"}, []string{" ALL "}, []string{"SCAN"},
					) {
						require.NotContains(t, plan, scan, "%s\n%s", what, plan)
					}
				}
			})
		}
	}
}
