package relay_test

import (
	"context"
	"database/sql"
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

// archived lists the rows of the archive, in order of seq: "id event_id partition offset".
func archived(t *testing.T, db dbtest.Database) (rows []string) {
	t.Helper()
	result, err := db.DB.QueryContext(
		t.Context(), "SELECT id, event_id, kafka_partition, kafka_offset FROM outbox_archive ORDER BY seq",
	)
	require.NoError(t, err)
	defer result.Close()
	for result.Next() {
		var id int64
		var event string
		var partition, offset sql.NullInt64
		require.NoError(t, result.Scan(&id, &event, &partition, &offset))
		rows = append(rows, place(id, event, partition, offset))
	}
	require.NoError(t, result.Err())
	return rows
}

func place(id int64, event string, partition, offset sql.NullInt64) string {
	where := "somewhere"
	if partition.Valid && offset.Valid {
		where = fmt.Sprint(partition.Int64, ":", offset.Int64)
	}
	return fmt.Sprint(id, " ", event, " ", where)
}

func placed(e relay.Event) string {
	return fmt.Sprint(e.ID, " ", e.EventID, " ", e.ID%8, ":", 1<<40+e.ID)
}

func TestArchivingMovesWhatItNamesAndNothingElse(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		insert(t, db, 12)
		e := eventsAbove(t, r, 0)
		other := relay.Event{ID: e[3].ID, EventID: uuid.New()}

		n, err := r.DeleteDelivered(t.Context(), l, nil)
		require.NoError(t, err)
		require.Zero(t, n)

		// The rows are not in order, one occurs twice, one has an id that came back with another event, and
		// one has no position.
		n, err = r.DeleteDelivered(t.Context(), l, []relay.Delivered{
			delivered(e[5]), delivered(e[0]), delivered(other), {Event: e[2]}, delivered(e[5]),
		})
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		want := []string{placed(e[0]), fmt.Sprint(e[2].ID, " ", e[2].EventID, " somewhere"), placed(e[5])}
		require.Equal(t, want, archived(t, db))
		require.Equal(t, concatEvents(e[1:2], e[3:5], e[6:]), eventsAbove(t, r, 0))

		// Rows that are gone are not counted.
		n, err = r.DeleteDelivered(t.Context(), l, []relay.Delivered{delivered(e[0]), delivered(e[1])})
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		want = append(want, placed(e[1]))
		require.Equal(t, want, archived(t, db))

		thief := l
		thief.Owner = uuid.New()
		n, err = r.DeleteDelivered(t.Context(), thief, []relay.Delivered{delivered(e[8])})
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Zero(t, n)
		require.Equal(t, want, archived(t, db))
		require.Len(t, eventsAbove(t, r, 0), 8)
	})
}

func concatEvents(parts ...[]relay.Event) (all []relay.Event) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestTheArchiveKeepsTheEventAsItWas(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		o, err := outbox.New(sqldb.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		require.NoError(t, o.InsertEvents(t.Context(), db.DB, []outbox.EventRow{
			{
				EventID: uuid.New(), Topic: "orders", Key: "ключ ", Type: "order.placed",
				Payload: []byte{0, 0xff, '\n'}, Headers: `{"a": "ü", "n": 1}`,
			},
			{EventID: uuid.New(), Topic: "orders", Headers: "{}"},
			{EventID: uuid.New(), Topic: "orders", Payload: []byte{}, Headers: "{}"},
		}))
		var rows []relay.Delivered
		for _, e := range eventsAbove(t, r, 0) {
			rows = append(rows, delivered(e))
		}
		before := wholeRows(t, db, sqldb.Events)
		n, err := r.DeleteDelivered(t.Context(), l, rows)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.Len(t, before, 3)
		require.Equal(t, before, wholeRows(t, db, sqldb.Archive))
	})
}

// wholeRows formats the eight columns of an event, as the database prints them.
func wholeRows(t *testing.T, db dbtest.Database, table string) (all []string) {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(),
		"SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL FROM "+table+
			" ORDER BY id")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var v [9]any
		require.NoError(t, rows.Scan(&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8]))
		for i, value := range v {
			if bytes, ok := value.([]byte); ok { // MySQL's driver returns every text like this
				v[i] = string(bytes)
			}
		}
		all = append(all, fmt.Sprintf("%v", v))
	}
	require.NoError(t, rows.Err())
	return all
}

// A zombie waits for a row that somebody has locked. Meanwhile its lease is claimed. A condition in the
// statement would see the old snapshot (hazard stale-fence). So the claim must wait for the zombie's
// transaction, or the zombie for the claim.
func TestArchivingAndAClaimShutEachOtherOut(t *testing.T) {
	each := func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		insert(t, db, 2)
		e := eventsAbove(t, r, 0)
		expire(t, db)

		blocker := begin(t, db.DB, nil)
		_, err := blocker.ExecContext(
			t.Context(), fmt.Sprintf("SELECT id FROM outbox_events WHERE id = %d FOR UPDATE", e[0].ID),
		)
		require.NoError(t, err)
		archiving := make(chan error, 1)
		go func() {
			_, err := r.DeleteDelivered(context.WithoutCancel(t.Context()), l, []relay.Delivered{delivered(e[0])})
			archiving <- err
		}()
		untilLeaseLocked(t, db)

		claimed := make(chan error, 1)
		go func() {
			_, ok, err := r.Claim(
				context.WithoutCancel(t.Context()),
				relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: time.Hour},
			)
			if err == nil && !ok {
				err = fmt.Errorf("not claimed")
			}
			claimed <- err
		}()
		require.NoError(t, blocker.Rollback())
		require.NoError(t, <-archiving)
		require.NoError(t, <-claimed)
		require.Equal(t, []string{placed(e[0])}, archived(t, db))

		_, err = r.DeleteDelivered(t.Context(), l, []relay.Delivered{delivered(e[1])})
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Len(t, archived(t, db), 1)
	}
	t.Run("postgresql15", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.PostgreSQL(t))) })
	t.Run("mariadb", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.MariaDB(t))) })
}

// untilLeaseLocked waits until a transaction has locked the lease row.
func untilLeaseLocked(t *testing.T, db dbtest.Database) {
	t.Helper()
	require.Eventually(t, func() bool {
		tx := begin(t, db.DB, nil)
		defer tx.Rollback()
		_, err := tx.ExecContext(t.Context(), "SELECT id FROM outbox_leases FOR UPDATE NOWAIT")
		return err != nil
	}, 30*time.Second, 5*time.Millisecond, "nobody locks the lease")
}

func TestArchivingTakesTwentyThousandRowsAtOnceInOrder(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		rows := 20_000
		if db.Dialect == sqldb.SQLite {
			rows = 2_000 // more take too long under the race detector
		}
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		dbtest.FillEvents(t, db, rows)
		var list []relay.Delivered
		for _, e := range eventsAbove(t, r, 0) {
			list = append(list, delivered(e))
		}
		require.Len(t, list, rows)
		slices.Reverse(list)
		n, err := r.DeleteDelivered(t.Context(), l, list)
		require.NoError(t, err)
		require.EqualValues(t, rows, n)
		require.Zero(t, countRows(t, db))
		var misplaced int
		require.NoError(t, db.DB.QueryRowContext(t.Context(),
			"SELECT count(*) FROM outbox_archive a JOIN outbox_archive b ON b.seq = a.seq + 1 "+
				"WHERE b.id < a.id").Scan(&misplaced))
		require.Zero(t, misplaced)
	})
}

func TestArchivingDoesNotWaitForOpenWriters(t *testing.T) {
	each := func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		writer := begin(t, db.DB, nil)
		open := func() {
			_, err := writer.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('open')")
			require.NoError(t, err)
		}
		open()
		insert(t, db, 20)
		open()
		var list []relay.Delivered
		for _, e := range eventsAbove(t, r, 0) {
			list = append(list, delivered(e))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		n, err := r.DeleteDelivered(ctx, l, list)
		require.NoError(t, err, "it waited")
		require.EqualValues(t, 20, n)
		require.NoError(t, writer.Commit())
		require.Equal(t, 2, countRows(t, db))
	}
	t.Run("postgresql15", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.PostgreSQL(t))) })
	t.Run("mariadb", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.MariaDB(t))) })
}

func TestArchivingNeedsItsTableAndSaysSo(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		insert(t, db, 1)
		exec(t, db.DB, "DROP TABLE outbox_archive")
		_, err := r.DeleteDelivered(t.Context(), l, []relay.Delivered{delivered(eventsAbove(t, r, 0)[0])})
		require.True(t, sqldb.IsMissingTable(err), "%v", err)
		require.Equal(t, 1, countRows(t, db))
	})
}

// With statistics of every kind, the events are found by their ids, and no payload is sorted.
func TestPostgreSQLArchivesByTheIndex(t *testing.T) {
	t.Parallel()
	dbtest.WithEvents(t, dbtest.PostgreSQL, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		for _, generic := range []bool{false, true} {
			for _, n := range []int{1, 500, 4000} {
				if n > 500 && !generic {
					continue // so large a part of the table that a scan is the better plan
				}
				statement, args := r.ArchiveSQL(deliveredList(someEvents(t, r, n)))
				plan := dbtest.PreparedPlan(t, db.DB, generic, "text, text, text, text", statement, args...)
				require.Contains(t, plan, "outbox_events_pkey", "%d events:\n%s", n, plan)
				require.NotContains(t, plan, "Seq Scan on outbox_events", "%d events:\n%s", n, plan)
			}
		}
	})
}

func deliveredList(events []relay.Event) (list []relay.Delivered) {
	for _, e := range events {
		list = append(list, delivered(e))
	}
	return list
}

func TestMariaDBArchivesByThePrimaryKeyAndSortsTheListAlone(t *testing.T) {
	t.Parallel()
	dbtest.WithEvents(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		statement, args := r.ArchiveSQL(deliveredList(someEvents(t, r, 500)))
		plan := dbtest.Plan(t, db, statement, args...)
		require.Contains(t, plan, " e eq_ref PRIMARY PRIMARY ", plan)
		require.NotContains(t, plan, "temporary", "rows would be sorted with their payloads:\n%s", plan)
	})
}

func TestSQLiteArchivesByTheRowID(t *testing.T) {
	dbtest.WithEvents(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		statement, args := r.ArchiveSQL(deliveredList(someEvents(t, r, 10)))
		plan := dbtest.Plan(t, db, statement, args...)
		require.Contains(t, plan, "USING INTEGER PRIMARY KEY", plan)
		require.False(t, strings.Contains(plan, "SCAN e"), plan)
	})
}
