package migrations_test

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// as opens the database as a user who has no rights but to connect.
func as(t *testing.T, db dbtest.Database, f func(user string, conn *sql.DB)) {
	t.Helper()
	user := "postroom_test_" + strings.ToLower(rand.Text()[:10])
	u, err := url.Parse(db.URL)
	require.NoError(t, err)
	if db.Dialect == migrations.PostgreSQL {
		exec(t, db.DB, "CREATE ROLE "+user+" LOGIN PASSWORD 'secret'")
		defer exec(t, db.DB, "DROP ROLE "+user)
		defer exec(t, db.DB, "DROP OWNED BY "+user)
	} else {
		exec(t, db.DB, "CREATE USER "+user+"@'%' IDENTIFIED BY 'secret'")
		defer exec(t, db.DB, "DROP USER "+user+"@'%'")
		// A right on something, or the user could not connect to the database.
		exec(t, db.DB, "CREATE TABLE other (id int)")
		exec(t, db.DB, "GRANT SELECT ON other TO "+user+"@'%'")
	}
	u.User = url.UserPassword(user, "secret")
	target, err := dbopen.Open(t.Context(), u.String())
	require.NoError(t, err)
	defer func() { require.NoError(t, target.DB.Close()) }()
	f(user, target.DB)
}

func TestCheckOfAnEmptyDatabaseEndsWithTheNextCommand(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		err := migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{})
		require.ErrorIs(t, err, migrations.ErrNotMigrated)
		require.True(t, strings.HasSuffix(err.Error(), "`relay migrate up`"), err)

		err = migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: "eu_"})
		require.ErrorIs(t, err, migrations.ErrNotMigrated)
		require.ErrorContains(t, err, "eu_postroom_schema")
		require.True(t, strings.HasSuffix(err.Error(), "`relay migrate up --table-prefix eu_`"), err)

		require.False(t, exists(t, db, "postroom_schema"), "a check writes nothing")
	})
}

func TestCheckInASchemaThatIsMissing(t *testing.T) {
	db := dbtest.PostgreSQL(t)
	err := migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Schema: "acme"})
	require.ErrorIs(t, err, migrations.ErrNotMigrated)
	require.True(t, strings.HasSuffix(err.Error(), "`relay migrate up --schema acme`"), err)
}

func TestTablesOneVersionNewerWorkAndTwoDoNot(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		check := func(half migrations.Half) error {
			return migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Only: half})
		}
		apply(t, db, migrations.Options{})
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (100, '00100_outbox_next.sql')")
		require.NoError(t, check(migrations.Both))
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (101, '00101_outbox_after.sql')")
		err := check(migrations.OutboxOnly)
		require.ErrorIs(t, err, migrations.ErrTooNew)
		require.ErrorContains(t, err, "00101_outbox_after.sql")
		require.ErrorContains(t, err, "00001_outbox.sql")
		require.ErrorIs(t, check(migrations.Both), migrations.ErrTooNew)
		require.NoError(t, check(migrations.InboxOnly), "the outbox is not the inbox's business")
		require.Empty(t, apply(t, db, migrations.Options{}), "an older build leaves newer tables alone")
	})
}

func TestStatusListsWhatIsAppliedPendingAndUnknown(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		status := func() []migrations.StatusRow {
			rows, err := migrations.Status(t.Context(), db.DB, db.Dialect, migrations.Options{})
			require.NoError(t, err)
			return rows
		}
		require.Equal(t, []migrations.StatusRow{
			{Version: 1, File: "00001_outbox.sql", Half: migrations.OutboxOnly, Known: true},
			{Version: 2, File: "00002_inbox.sql", Half: migrations.InboxOnly, Known: true},
		}, status())

		apply(t, db, migrations.Options{Only: migrations.OutboxOnly})
		exec(t, db.DB, "INSERT INTO postroom_schema (version, name) VALUES (100, '00100_inbox_next.sql')")
		rows := status()
		require.Len(t, rows, 3)
		require.True(t, rows[0].Applied)
		require.WithinDuration(t, time.Now(), rows[0].AppliedAt, time.Minute)
		require.False(t, rows[1].Applied)
		require.Equal(t, "00100_inbox_next.sql", rows[2].File)
		require.Equal(t, migrations.InboxOnly, rows[2].Half)
		require.True(t, rows[2].Applied)
		require.False(t, rows[2].Known)
	})
}

func TestCheckNeedsToReadTheVersionTableOnly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		if db.Dialect == migrations.SQLite {
			return // SQLite has no users
		}
		apply(t, db, migrations.Options{})
		as(t, db, func(user string, conn *sql.DB) {
			err := migrations.Check(t.Context(), conn, db.Dialect, migrations.Options{})
			require.ErrorIs(t, err, migrations.ErrNoAccess)
			require.ErrorContains(t, err, "GRANT SELECT ON postroom_schema")

			_, err = migrations.Apply(t.Context(), conn, db.Dialect, migrations.Options{Prefix: "mine_"})
			require.ErrorIs(t, err, migrations.ErrNoAccess)
			require.ErrorContains(t, err, "relay migrate print --table-prefix mine_")

			grantee := user
			if db.Dialect == migrations.MySQL {
				grantee += "@'%'"
			}
			exec(t, db.DB, "GRANT SELECT ON postroom_schema TO "+grantee)
			require.NoError(t, migrations.Check(t.Context(), conn, db.Dialect, migrations.Options{}))
			results, err := migrations.Apply(t.Context(), conn, db.Dialect, migrations.Options{})
			require.NoError(t, err, "with nothing to do, Apply needs no more than Check")
			require.Empty(t, results)
		})
	})
}
