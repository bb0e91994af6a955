package migrations_test

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/migrations"
)

// allFiles are the migrations of both scopes, by version.
var allFiles = []string{
	"00001_outbox.sql", "00002_inbox.sql", "00003_outbox_relay.sql", "00004_inbox_offsets.sql",
	"00005_inbox_replica.sql", "00006_outbox_backfill.sql", "00008_inbox_groups.sql",
}

func apply(t *testing.T, db dbtest.Database, o migrations.Options) []migrations.Result {
	t.Helper()
	results, err := migrations.Apply(t.Context(), db.DB, db.Dialect, o)
	require.NoError(t, err)
	return results
}

func files(results []migrations.Result) []string {
	var names []string
	for _, r := range results {
		names = append(names, r.File)
	}
	return names
}

// exists reports whether a table can be read.
func exists(t *testing.T, db dbtest.Database, table string) bool {
	t.Helper()
	rows, err := db.DB.QueryContext(t.Context(), "SELECT 1 FROM "+table+" WHERE 1 = 0")
	if sqldb.IsMissingTable(err) {
		return false
	}
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	return true
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement)
	require.NoError(t, err, statement)
}

func count(t *testing.T, db dbtest.Database, query string) int {
	t.Helper()
	var n int
	require.NoError(t, db.DB.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

func TestApplyMakesTheTablesOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		first := apply(t, db, migrations.Options{})
		require.Equal(t, allFiles, files(first))
		require.Positive(t, first[0].Duration)
		require.Equal(t, int64(1), first[0].Version)
		require.Empty(t, apply(t, db, migrations.Options{}), "a second Apply has nothing to do")
		for _, table := range []string{"outbox_events", "outbox_parked", "outbox_leases", "outbox_scheduled",
			"outbox_archive", "outbox_relays", "outbox_drops", "inbox_events", "inbox_attempts", "inbox_blocked",
			"inbox_parked", "inbox_offsets", "postroom_schema"} {
			require.True(t, exists(t, db, table), table)
		}
		require.False(t, exists(t, db, "goose_db_version"), "that table is the user's")
		require.False(t, exists(t, db, "goose_lock"))
		require.Equal(t, db.Dialect == migrations.MySQL, exists(t, db, "outbox_key_locks"))
		require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{}))
	})
}

// Hazard two-migrators.
func TestConcurrentApplyAppliesEachFileOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, concurrentApply)
	t.Run("pgbouncer", func(t *testing.T) { concurrentApply(t, dbtest.PgBouncer(t)) })
}

func concurrentApply(t *testing.T, db dbtest.Database) {
	const processes = 4
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		applied []string
		errs    []error
	)
	for range processes {
		wg.Go(func() {
			results, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: "c_"})
			mu.Lock()
			defer mu.Unlock()
			applied = append(applied, files(results)...)
			errs = append(errs, err)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, allFiles, applied)
	require.Equal(t, 1, count(t, db, "SELECT count(*) FROM c_outbox_leases"))
	require.Equal(t, len(allFiles), count(t, db, "SELECT count(*) FROM c_postroom_schema"))
}

func TestApplyNeedsOneConnectionOnly(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		db.DB.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := migrations.Apply(ctx, db.DB, db.Dialect, migrations.Options{})
		require.NoError(t, err)
	})
}

func TestScopesAreAppliedAloneInAnyOrder(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		outbox, inbox := migrations.Options{Only: migrations.OutboxOnly}, migrations.Options{Only: migrations.InboxOnly}
		require.Equal(
			t,
			[]string{"00002_inbox.sql", "00004_inbox_offsets.sql", "00005_inbox_replica.sql", "00008_inbox_groups.sql"},
			files(apply(t, db, inbox)),
		)
		require.False(t, exists(t, db, "outbox_events"))
		require.True(t, exists(t, db, "inbox_events"))
		require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, inbox))
		err := migrations.Check(t.Context(), db.DB, db.Dialect, outbox)
		require.ErrorIs(t, err, migrations.ErrNotMigrated)
		require.ErrorContains(t, err, "outbox tables")
		require.ErrorIs(
			t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{}), migrations.ErrNotMigrated,
		)

		require.Equal(
			t, []string{"00001_outbox.sql", "00003_outbox_relay.sql", "00006_outbox_backfill.sql"},
			files(apply(t, db, outbox)), "the lower number may come later",
		)
		require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{}))
	})
}

func TestSeveralPrefixesLiveInOneDatabase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		for _, prefix := range []string{"", "acme_", "a23456789_123456789_123456789_"} {
			require.Len(t, apply(t, db, migrations.Options{Prefix: prefix}), len(allFiles))
			require.True(t, exists(t, db, prefix+"outbox_events"))
			require.True(t, exists(t, db, prefix+"postroom_schema"))
			exec(t, db.DB, "INSERT INTO "+prefix+"outbox_events (topic) VALUES ('"+prefix+"x')")
		}
		require.Equal(t, 1, count(t, db, "SELECT count(*) FROM acme_outbox_events"))
	})
}

func TestTablesGoIntoTheirSchemaWithoutASearchPath(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18, "pgbouncer": dbtest.PgBouncer,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			for _, schema := range []string{"order", "acme"} { // the first is a reserved word
				for _, prefix := range []string{"", "eu_"} {
					o := migrations.Options{Schema: schema, Prefix: prefix}
					require.Len(t, apply(t, db, o), len(allFiles))
					require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, o))
					status, err := migrations.Status(t.Context(), db.DB, db.Dialect, o)
					require.NoError(t, err)
					require.True(t, status[1].Applied)
				}
			}
			require.Equal(
				t, 0, count(t, db, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
			)
			require.Equal(t, 2*17, count(t, db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'order'"),
				"15 tables and 2 of bookkeeping for each of 2 prefixes")
		})
	}
}

// Hazard two-migrators.
func TestAnExpiryFarInTheFutureIsAClockSetBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{Only: migrations.InboxOnly})
		exec(t, db.DB, "UPDATE postroom_schema_lock SET owner = 'dead-host-1', expires_at = '2999-01-01T00:00:00'")
		require.Len(t, apply(t, db, migrations.Options{}), 3)
	})
}

func TestWaitingForTheLockEndsWithTheContextAndNamesTheHolder(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{Only: migrations.InboxOnly})
		later := map[migrations.Dialect]string{
			migrations.PostgreSQL: "clock_timestamp() + interval '25 seconds'",
			migrations.MySQL:      "utc_timestamp(6) + INTERVAL 25 SECOND",
			migrations.SQLite:     "strftime('%Y-%m-%dT%H:%M:%f', 'now', '+25 seconds')",
		}[db.Dialect]
		exec(t, db.DB, "UPDATE postroom_schema_lock SET owner = 'other-host-7', expires_at = "+later)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		looks := 0
		watched := faultdb.Open(db.DB, func(statement string) faultdb.Fault {
			if strings.HasPrefix(statement, "SELECT owner FROM") {
				if looks++; looks == 2 { // the first process has returned, and now waits
					cancel()
				}
			}
			return faultdb.Fault{}
		})
		defer watched.Close()
		_, err := migrations.Apply(ctx, watched, db.Dialect, migrations.Options{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "other-host-7")
		require.False(t, exists(t, db, "outbox_events"))
		require.Empty(t, apply(t, db, migrations.Options{Only: migrations.InboxOnly}), "nothing to do needs no lock")
	})
}

func TestAFailingFileSaysWhatWasAppliedAndWhatNot(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		comment := ""
		if db.Dialect == migrations.MySQL { // the table passes for ours until the INSERT
			comment = " COMMENT = 'Postroom: damaged'"
		}
		exec(t, db.DB, "CREATE TABLE outbox_leases (wrong int)"+comment)
		_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{})
		var partial *migrations.PartialError
		require.ErrorAs(t, err, &partial)
		require.Equal(t, "00001_outbox.sql", partial.File)
		require.Equal(t, int64(1), partial.Version)
		require.Empty(t, partial.Applied)
		atomic := db.Dialect != migrations.MySQL
		require.Equal(t, atomic, strings.Contains(err.Error(), "rolled back"))
		require.Equal(t, !atomic, exists(t, db, "outbox_events"), "MySQL commits each CREATE TABLE")

		exec(t, db.DB, "DROP TABLE outbox_leases")
		require.Len(t, apply(t, db, migrations.Options{}), len(allFiles), "the next run finishes the work")
		require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_leases"))
	})
}

func TestATableOfTheUsersOwnIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "CREATE TABLE inbox_events (id int)")
		results, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{})
		require.ErrorContains(t, err, "inbox_events")
		require.ErrorContains(t, err, "exists")
		if db.Dialect != migrations.MySQL {
			require.Equal(t, []string{"00001_outbox.sql"}, files(results))
		}
		require.Len(t, apply(t, db, migrations.Options{Prefix: "our_"}), len(allFiles))
	})
}

func TestPrintedSQLRunByHandLeavesNothingToApply(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		o := migrations.Options{Prefix: "hand_"}
		printed, err := migrations.Print(db.Dialect, o)
		require.NoError(t, err)
		for _, f := range printed {
			for _, statement := range strings.Split(f.SQL, ";\n") {
				if strings.TrimSpace(statement) != "" {
					exec(t, db.DB, statement)
				}
			}
		}
		require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, o))
		require.Empty(t, apply(t, db, o))
	})
}

func TestWrongArgumentsAreRefusedByName(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	for name, c := range map[string]struct {
		d    migrations.Dialect
		o    migrations.Options
		says string
	}{
		"dialect":               {"oracle", migrations.Options{}, `"oracle"`},
		"prefix":                {migrations.SQLite, migrations.Options{Prefix: "a-b"}, `"a-b"`},
		"prefix that is long":   {migrations.SQLite, migrations.Options{Prefix: strings.Repeat("a", 31)}, "at most 30"},
		"schema outside of PG":  {migrations.SQLite, migrations.Options{Schema: "acme"}, "only PostgreSQL"},
		"schema with a quote":   {migrations.PostgreSQL, migrations.Options{Schema: `a"b`}, "schema"},
		"scope that is not one": {migrations.SQLite, migrations.Options{Only: "middle"}, `"middle"`},
		"prefix with uppercase": {migrations.SQLite, migrations.Options{Prefix: "Acme"}, `"Acme"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := migrations.Apply(t.Context(), db.DB, c.d, c.o)
			require.ErrorContains(t, err, c.says)
			_, err = migrations.Status(t.Context(), db.DB, c.d, c.o)
			require.ErrorContains(t, err, c.says)
			_, err = migrations.Print(c.d, c.o)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, migrations.Check(t.Context(), db.DB, c.d, c.o), c.says)
		})
	}
}
