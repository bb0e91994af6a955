package source_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/archive"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func traced(t *testing.T, db dbtest.Database, id uuid.UUID) source.Trace {
	t.Helper()
	found, err := sourceOf(t, db).Trace(t.Context(), id)
	require.NoError(t, err)
	return found
}

func tables(found source.Trace) (names []string) {
	for _, f := range found.Found {
		names = append(names, f.Table)
	}
	return names
}

func TestAnEventIsFoundWhereverItIs(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := storetest.Relay(t, db)
		l := storetest.MustClaim(t, r)
		nobody := traced(t, db, uuid.New())
		require.Empty(t, nobody.Found)
		require.Empty(t, nobody.Missing)
		require.Zero(t, nobody.ArchivedSince)

		k := storetest.Keyed{"orders", "k"}
		e := storetest.Insert(t, db, k, k, storetest.Keyed{"orders", ""}, k)
		waiting := traced(t, db, e[2].EventID)
		require.Equal(t, []string{sqldb.Events}, tables(waiting))
		f := waiting.Found[0]
		require.Equal(t, e[2].ID, f.ID)
		require.Equal(t, "orders", f.Topic)
		require.Nil(t, f.Key)
		require.Equal(t, "order.placed", f.Type)
		require.WithinDuration(t, time.Now(), f.CreatedAt, time.Minute)
		require.EqualValues(t, 2, f.Ahead)
		require.Zero(t, f.Behind)

		storetest.Park(t, r, l, e[0], e[1])
		parked := traced(t, db, e[0].EventID).Found[0]
		require.Equal(t, sqldb.Parked, parked.Table)
		require.Equal(t, "failed", parked.State)
		require.Equal(t, "too large", parked.Error)
		require.Equal(t, 1, parked.Attempts)
		require.False(t, parked.Overtaken)
		require.WithinDuration(t, time.Now(), parked.At, time.Minute)
		blocked := traced(t, db, e[3].EventID).Found[0]
		require.EqualValues(t, 2, blocked.Behind, "it waits behind two of its key")
		require.Equal(t, "k", *blocked.Key)

		archiving, err := relay.New(db.DB, sqldb.Names{Dialect: db.Dialect}, relay.Options{Archive: true})
		require.NoError(t, err)
		n, err := archiving.DeleteDelivered(t.Context(), l, []relay.Delivered{storetest.Delivered(e[2])})
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		kept := traced(t, db, e[2].EventID).Found[0]
		require.Equal(t, sqldb.Archive, kept.Table)
		require.EqualValues(t, e[2].ID%8, *kept.Partition)
		require.EqualValues(t, 1<<40+e[2].ID, *kept.Offset)
		require.WithinDuration(t, time.Now(), kept.At, time.Minute)
		require.Equal(t, f.CreatedAt, kept.CreatedAt)
		require.WithinDuration(t, kept.At, traced(t, db, uuid.New()).ArchivedSince, time.Millisecond)

		replay, err := archive.New(db.DB, sqldb.Names{Dialect: db.Dialect})
		require.NoError(t, err)
		list, err := replay.List(t.Context(), archive.Selection{UpTo: math.MaxInt64}, 1000)
		require.NoError(t, err)
		_, err = replay.PutBack(t.Context(), list, false)
		require.NoError(t, err)
		require.Equal(t, []string{sqldb.Events, sqldb.Archive}, tables(traced(t, db, e[2].EventID)), "replayed")

		const gone = "'018f3c1e-8f2a-7000-8000-000000000001'"
		dbtest.Exec(
			t, db.DB, "INSERT INTO outbox_drops (id, event_id, topic, error) VALUES (7, "+gone+", 'orders', 'a test')",
		)
		at := sqldb.For(db.Dialect, "2100-01-01T00:00:00.000000Z", "2100-01-01 00:00:00", "2100-01-01T00:00:00.000000Z")
		dbtest.Exec(t, db.DB,
			"INSERT INTO outbox_scheduled (event_id, topic, deliver_at) VALUES ("+gone+", 'orders', '"+at+"')")
		both := traced(t, db, uuid.MustParse(gone[1:37]))
		require.Equal(t, []string{sqldb.Scheduled, sqldb.Drops}, tables(both))
		require.Equal(t, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), both.Found[0].At)
		require.Equal(t, "a test", both.Found[1].Error)
		require.Zero(t, both.Found[1].CreatedAt)
	})
}

func TestATraceGoesOnWithoutTheTablesOfThisVersion(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		e := storetest.Insert(t, db, storetest.Keyed{"orders", "k"})
		for _, table := range []string{sqldb.Scheduled, sqldb.Archive, sqldb.Drops} {
			dbtest.Exec(t, db.DB, "DROP TABLE "+table)
		}
		found := traced(t, db, e[0].EventID)
		require.Equal(t, []string{sqldb.Events}, tables(found))
		found = traced(t, db, uuid.New())
		require.Empty(t, found.Found)
		require.Equal(t, []string{sqldb.Scheduled, sqldb.Archive, sqldb.Drops}, found.Missing)
	})
}

func TestATraceFindsAnArchivedEventByTheIndex(t *testing.T) {
	t.Parallel()
	const index = "outbox_archive_event_id_idx"
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB, "sqlite": dbtest.SQLite,
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.WithArchive(t, fresh, func(t *testing.T, db dbtest.Database) {
				statement := sourceOf(t, db).TraceArchiveSQL()
				switch db.Dialect {
				case sqldb.PostgreSQL:
					for _, generic := range []bool{false, true} {
						plan := dbtest.PreparedPlan(t, db.DB, generic, "text", statement, uuid.New())
						require.Contains(t, plan, index, plan)
					}
				case sqldb.MySQL, sqldb.SQLite:
					require.Contains(t, dbtest.Plan(t, db, statement, uuid.NewString()), index)
				}
			})
		})
	}
}

func TestATraceCountsNoFurtherThanTheLimit(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		dbtest.FillEvents(t, db, sqldb.CountLimit+100)
		last := storetest.Insert(t, db, storetest.Keyed{"orders", "k"})[0]
		trace, err := sourceOf(t, db).Trace(t.Context(), last.EventID)
		require.NoError(t, err)
		require.Len(t, trace.Found, 1)
		require.EqualValues(t, sqldb.CountLimit, trace.Found[0].Ahead)
	})
}
