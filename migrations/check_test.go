package migrations_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

func TestCheckOfAnEmptyDatabaseNamesTheNextCommandFirst(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		err := migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{})
		require.ErrorIs(t, err, migrations.ErrNotMigrated)
		require.ErrorContains(t, err, "there is no table postroom_schema: run `relay migrate up`; where another tool")

		err = migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: "eu_"})
		require.ErrorIs(t, err, migrations.ErrNotMigrated)
		require.ErrorContains(t, err, "eu_postroom_schema")
		require.ErrorContains(t, err, ": run `relay migrate up --table-prefix eu_`; where another tool")

		require.False(t, exists(t, db, "postroom_schema"), "a check writes nothing")
	})
}

func TestCheckInASchemaThatIsMissing(t *testing.T) {
	t.Parallel()
	db := dbtest.PostgreSQL(t)
	err := migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Schema: "acme"})
	require.ErrorIs(t, err, migrations.ErrNotMigrated)
	require.ErrorContains(
		t, err, "there is no table acme.postroom_schema: run `relay migrate up --schema acme`; where another tool",
	)
}

func TestTablesOneVersionNewerWorkAndTwoDoNot(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		check := func(scope migrations.Scope) error {
			return migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Only: scope})
		}
		apply(t, db, migrations.Options{})
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (100, '00100_outbox_next.sql')")
		require.NoError(t, check(migrations.Both))
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (101, '00101_outbox_after.sql')")
		err := check(migrations.OutboxOnly)
		require.ErrorIs(t, err, migrations.ErrTooNew)
		require.ErrorContains(t, err, "00101_outbox_after.sql")
		require.ErrorContains(t, err, "00006_outbox_backfill.sql")
		require.ErrorIs(t, check(migrations.Both), migrations.ErrTooNew)
		require.NoError(t, check(migrations.InboxOnly), "the outbox is not the inbox's business")
		require.Empty(t, apply(t, db, migrations.Options{}), "an older build leaves newer tables alone")
	})
}

// This build must work with the tables that a build before 00006 created.
func TestTablesOfThePreviousReleaseWork(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{})
		older(t, db)
		for _, scope := range []migrations.Scope{migrations.Both, migrations.OutboxOnly, migrations.InboxOnly} {
			require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Only: scope}))
		}
		require.Equal(t, []string{"00006_outbox_backfill.sql"}, files(apply(t, db, migrations.Options{})))
		require.True(t, exists(t, db, "outbox_backfills"))

		exec(t, db.DB, "DELETE FROM postroom_schema WHERE version > 2")
		require.NoError(
			t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{}),
			"however many files an upgrade brings: programs first",
		)
		exec(t, db.DB, "DELETE FROM postroom_schema WHERE version = 1")
		older(t, db)
		require.ErrorIs(
			t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{}), migrations.ErrNotMigrated,
		)
	})
}

// older undoes 00006.
func older(t *testing.T, db dbtest.Database) {
	t.Helper()
	exec(t, db.DB, "DROP TABLE IF EXISTS outbox_backfills")
	exec(t, db.DB, "DELETE FROM postroom_schema WHERE version = 6")
}

func TestStatusListsWhatIsAppliedPendingAndUnknown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		status := func() []migrations.StatusRow {
			rows, err := migrations.Status(t.Context(), db.DB, db.Dialect, migrations.Options{})
			require.NoError(t, err)
			return rows
		}
		pending := status()
		require.Equal(t, []string{"inbox_events", "inbox_attempts", "inbox_blocked", "inbox_parked"}, pending[1].Tables)
		for i := range pending { // MySQL has one more pending file
			pending[i].Tables = nil
		}
		require.Equal(t, []migrations.StatusRow{
			{Version: 1, File: "00001_outbox.sql", Scope: migrations.OutboxOnly, Known: true},
			{Version: 2, File: "00002_inbox.sql", Scope: migrations.InboxOnly, Known: true},
			{Version: 3, File: "00003_outbox_relay.sql", Scope: migrations.OutboxOnly, Known: true},
			{Version: 4, File: "00004_inbox_offsets.sql", Scope: migrations.InboxOnly, Known: true},
			{Version: 5, File: "00005_inbox_replica.sql", Scope: migrations.InboxOnly, Known: true},
			{Version: 6, File: "00006_outbox_backfill.sql", Scope: migrations.OutboxOnly, Known: true},
			{Version: 8, File: "00008_inbox_groups.sql", Scope: migrations.InboxOnly, Known: true},
		}, pending)

		apply(t, db, migrations.Options{Only: migrations.OutboxOnly})
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (100, '00100_inbox_next.sql')")
		rows := status()
		require.Len(t, rows, 8)
		require.True(t, rows[0].Applied)
		require.WithinDuration(t, time.Now(), rows[0].AppliedAt, time.Minute)
		require.False(t, rows[1].Applied)
		require.Equal(t, "00100_inbox_next.sql", rows[7].File)
		require.Equal(t, migrations.InboxOnly, rows[7].Scope)
		require.True(t, rows[7].Applied)
		require.False(t, rows[7].Known)
	})
}

func TestCheckNeedsToReadTheVersionTableOnly(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
		dbtest.FlavorMariaDB: dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			apply(t, db, migrations.Options{})
			exec(t, db.DB, "CREATE TABLE other (id int)") // on MariaDB a user needs some right to connect
			nobody := dbtest.Restricted(t, db, "SELECT ON other")
			err := migrations.Check(t.Context(), nobody.DB, db.Dialect, migrations.Options{})
			require.ErrorIs(t, err, migrations.ErrNoAccess)
			require.ErrorContains(t, err, "GRANT SELECT ON postroom_schema")
			_, err = migrations.Status(t.Context(), nobody.DB, db.Dialect, migrations.Options{})
			require.ErrorIs(t, err, migrations.ErrNoAccess)
			_, err = migrations.Apply(t.Context(), nobody.DB, db.Dialect, migrations.Options{Prefix: "mine_"})
			require.ErrorIs(t, err, migrations.ErrNoAccess)
			require.ErrorContains(t, err, "relay migrate print --table-prefix mine_")

			reader := dbtest.Restricted(t, db, "SELECT ON postroom_schema")
			require.NoError(t, migrations.Check(t.Context(), reader.DB, db.Dialect, migrations.Options{}))
			require.Empty(
				t, apply(t, reader, migrations.Options{}), "with nothing to do, Apply needs no more than Check",
			)
		})
	}
}

func TestASchemaThatMayNotBeMadeNamesTheStatement(t *testing.T) {
	t.Parallel()
	db := dbtest.PostgreSQL(t)
	nobody := dbtest.Restricted(t, db)
	o := migrations.Options{Schema: "acme"}
	_, err := migrations.Apply(t.Context(), nobody.DB, db.Dialect, o)
	require.ErrorIs(t, err, migrations.ErrNoAccess)
	require.ErrorContains(t, err, `CREATE SCHEMA "acme" AUTHORIZATION`)

	exec(t, db.DB, "CREATE SCHEMA acme")
	owner := dbtest.Restricted(t, db, "CREATE, USAGE ON SCHEMA acme")
	require.Len(t, apply(t, owner, o), len(allFiles), "no right on the database is needed once the schema is there")
}
