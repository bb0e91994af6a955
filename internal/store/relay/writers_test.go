package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// look returns the writers of a probe that had an answer. A probe may have none, because MariaDB's list is a
// copy that is not refreshed while others read it.
func look(t *testing.T, r *relay.Store) map[string]string {
	t.Helper()
	open := make(map[string]string)
	require.Eventually(t, func() bool {
		w, err := r.OpenWriters(t.Context())
		if err != nil || !w.Known {
			return false
		}
		clear(open)
		for _, writer := range w.Open {
			open[writer.ID] = writer.Next
		}
		return true
	}, 30*time.Second, 120*time.Millisecond)
	return open
}

// thisWriter returns those open writers that may be tx. MariaDB lists those of the whole server, and
// PostgreSQL those that have written to the table.
func thisWriter(t *testing.T, db dbtest.Database, tx *sql.Tx, open map[string]string) (found []string) {
	t.Helper()
	mark := ""
	if db.Dialect == sqldb.MySQL {
		var session int64
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&session))
		mark = fmt.Sprintf("session %d ", session)
	}
	for id := range open {
		if strings.Contains(id, mark) {
			found = append(found, id)
		}
	}
	return found
}

func withWriters(t *testing.T, f func(t *testing.T, db dbtest.Database)) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18, "mariadb": dbtest.MariaDB,
		"pgbouncer": dbtest.PgBouncer,
	} {
		t.Run(name, func(t *testing.T) { f(t, dbtest.Migrate(t, server(t))) })
	}
}

func TestAWriterShowsForAsLongAsItsTransactionIsOpen(t *testing.T) {
	withWriters(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		for name, end := range map[string]func(*sql.Tx) error{
			"commit": (*sql.Tx).Commit, "roll back": (*sql.Tx).Rollback,
		} {
			tx := begin(t, db.DB, nil)
			_, err := tx.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
			require.NoError(t, err)
			writer := thisWriter(t, db, tx, look(t, r))
			require.Len(t, writer, 1, name)
			for range 3 {
				require.Contains(t, look(t, r), writer[0], "%s: an open writer must show in every look", name)
			}
			require.NoError(t, end(tx), name)
			require.Eventually(t, func() bool {
				_, there := look(t, r)[writer[0]]
				return !there
			}, 30*time.Second, 10*time.Millisecond, name)
		}
	})
}

func TestAPreparedWriterStillShows(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	r := newRelay(t, db)
	tx := begin(t, db.DB, nil)
	_, err := tx.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
	require.NoError(t, err)
	before := look(t, r)
	require.Len(t, before, 1)
	var name string // names of prepared transactions are unique in the server
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name))
	_, err = tx.ExecContext(t.Context(), "PREPARE TRANSACTION '"+name+"'")
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = db.DB.Exec("ROLLBACK PREPARED '" + name + "'") }) // or the database stays
	_ = tx.Rollback()
	after := look(t, r)
	require.Len(t, after, 1)
	for id, next := range before {
		for heir := range after { // in newer versions it keeps its name until the server restarts
			require.NotEmpty(t, next)
			require.True(t, heir == id || strings.HasPrefix(heir, next), "%q became %q", id, heir)
		}
	}
	exec(t, db.DB, "ROLLBACK PREPARED '"+name+"'")
	require.Empty(t, look(t, r))
}

// Without the right to see the transactions nothing is known, and no gap is forgotten.
func TestWithoutTheRightToLookNothingIsKnown(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	relay := dbtest.Restricted(t, db, "SELECT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases")
	w, err := newRelay(t, relay).OpenWriters(t.Context())
	require.NoError(t, err)
	require.False(t, w.Known)
}

// The probe needs one connection at a time. If it asked for a second one while it holds the first, it would
// wait forever in a pool of one.
func TestALookIsContentWithOneConnection(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		db.DB.SetMaxOpenConns(1)
		r, err := relay.New(db.DB, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err = r.OpenWriters(ctx)
		require.NoError(t, err)
	})
}

// A writer that executes nothing has the same Rest in every probe. Its Rest changes after it has executed
// something.
func TestAWriterAtRestIsKnownAgain(t *testing.T) {
	withWriters(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		tx := begin(t, db.DB, nil)
		insert := func() {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
			require.NoError(t, err)
		}
		insert()
		writer := thisWriter(t, db, tx, look(t, r)) // this executes a statement on MariaDB
		require.Len(t, writer, 1)
		rest := func() (mark string, given int64) {
			require.Eventually(t, func() bool {
				w, err := r.OpenWriters(t.Context())
				if err != nil || !w.Known {
					return false
				}
				for _, open := range w.Open {
					if open.ID == writer[0] {
						mark, given = open.Rest, w.Given
					}
				}
				return mark != ""
			}, 30*time.Second, 120*time.Millisecond)
			return mark, given
		}
		first, given := rest()
		require.GreaterOrEqual(t, given, int64(1))
		again, _ := rest()
		require.Equal(t, first, again)
		insert()
		then, givenThen := rest()
		require.NotEqual(t, first, then)
		require.Greater(t, givenThen, given)
	})
}

// Without pg_read_all_stats PostgreSQL shows nothing about a session of another user. Then no writer counts
// as at rest.
func TestWithoutTheRightToSeeSessionsNobodyIsAtRest(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	relay := dbtest.Restricted(t, db, "SELECT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases")
	tx := begin(t, db.DB, nil)
	_, err := tx.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
	require.NoError(t, err)
	w, err := newRelay(t, relay).OpenWriters(t.Context())
	require.NoError(t, err)
	require.True(t, w.Known)
	require.Len(t, w.Open, 1)
	require.Empty(t, w.Open[0].Rest)
}
