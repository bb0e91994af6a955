package migrations_test

import (
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor/facts"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/internal/store/parked"
	"github.com/postroom/postroom/migrations"
)

// documented returns the statements of the block of docs/tables.md with this mark.
func documented(t *testing.T, mark string) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/tables.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "<!-- test: "+mark+" -->\n```sql\n")
	require.True(t, found, "docs/tables.md has no block %q", mark)
	block, _, _ := strings.Cut(rest, "\n```")
	block = regexp.MustCompile(`(?m)^--.*\n`).ReplaceAllString(block, "")
	var statements []string
	for _, s := range strings.Split(block, ";") {
		if s = strings.TrimSpace(s); s != "" {
			statements = append(statements, s)
		}
	}
	return statements
}

func TestTheInsertsInTheDocsWork(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{Only: migrations.OutboxOnly})
		conn, err := db.DB.Conn(t.Context())
		require.NoError(t, err)
		for _, statement := range documented(t, string(db.Dialect)+" insert") {
			_, err := conn.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, conn.Close())
		var payload []byte
		require.NoError(
			t,
			db.DB.QueryRowContext(t.Context(),
				"SELECT payload FROM outbox_events WHERE event_key = 'order-42'").Scan(&payload),
		)
		require.Equal(t, `{"total": 42}`, string(payload))
	})
}

func TestSchedulingByHandAsInTheDocsWorks(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		apply(t, db, migrations.Options{Only: migrations.OutboxOnly})
		for _, statement := range documented(t, "postgresql sqlite schedule") {
			if db.Dialect == migrations.MySQL {
				statement = strings.ReplaceAll(statement, "Z')", "')")
			}
			exec(t, db.DB, statement)
		}
		require.Equal(
			t, 1,
			count(
				t, db,
				"SELECT count(*) FROM outbox_scheduled WHERE deliver_at > '2030-01-31' AND deliver_at < '2030-02-01'",
			),
		)
	})
}

func TestTheGrantsInTheDocsAreEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
		dbtest.FlavorMariaDB: dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			apply(t, db, migrations.Options{})
			exec(t, db.DB, "CREATE TABLE other (id int)")
			users := map[string]dbtest.Database{}
			for _, user := range []string{"orders_service", "postroom_relay", "billing_service", "inbox_operator"} {
				users[user] = dbtest.Restricted(t, db, "SELECT ON other")
			}
			for _, statement := range documented(t, string(db.Dialect)+" grants") {
				for user, as := range users {
					u, err := url.Parse(as.URL)
					require.NoError(t, err)
					statement = strings.ReplaceAll(statement, user, u.User.Username())
				}
				exec(t, db.DB, statement)
			}
			for _, c := range []struct {
				user, statement string
				allowed         bool
			}{
				{"orders_service", "INSERT INTO outbox_events (topic, payload) VALUES ('t', 'p')", true},
				{"orders_service", "SELECT id FROM outbox_events", false},
				{"orders_service", "DELETE FROM outbox_events", false},
				{"orders_service", "UPDATE outbox_leases SET epoch = 7", false},
				{"postroom_relay", "SELECT id FROM outbox_events", true},
				{"postroom_relay", "INSERT INTO outbox_events (topic) VALUES ('t')", true},
				{"postroom_relay", "UPDATE outbox_events SET topic = 'x'", false},
				{"postroom_relay", "UPDATE outbox_leases SET epoch = epoch + 1 WHERE id = 1", true},
				{"postroom_relay", "DELETE FROM outbox_leases", false},
				{"postroom_relay", `INSERT INTO outbox_parked (id, event_id, topic, event_type, headers, created_at)
					SELECT id, event_id, topic, event_type, headers, created_at FROM outbox_events`, true},
				{"postroom_relay", "DELETE FROM outbox_events WHERE id > 0", true},
				{"postroom_relay", `INSERT INTO outbox_archive (id, event_id, topic, event_type, headers, created_at)
					SELECT id, event_id, topic, event_type, headers, created_at FROM outbox_parked`, true},
				{"postroom_relay", `INSERT INTO outbox_drops (id, event_id, topic)
					SELECT id, event_id, topic FROM outbox_parked`, true},
				{"postroom_relay", `INSERT INTO outbox_events
					(event_id, topic, event_key, event_type, payload, headers, created_at)
					SELECT event_id, topic, event_key, event_type, payload, headers, created_at
					FROM outbox_scheduled`, true},
				{"postroom_relay", "DELETE FROM outbox_scheduled WHERE seq > 0", true},
				{"postroom_relay", "UPDATE outbox_relays SET owned = 1 WHERE host = 'a'", true},
				{"postroom_relay", "DELETE FROM outbox_relays WHERE host = 'a'", true},
				{"orders_service", "INSERT INTO outbox_scheduled (topic, deliver_at) VALUES ('t', '2030-01-01 " +
					"00:00:00')", true},
				{"orders_service", "DELETE FROM outbox_scheduled WHERE event_id = " +
					"'018f2c3e-7b1a-7cc3-9a3e-0123456789ab'", true},
				{"orders_service", "SELECT seq FROM outbox_archive", false},
				{"postroom_relay", "SELECT consumer FROM inbox_events", false},
				{"billing_service", "INSERT INTO inbox_events (consumer, message_id) VALUES ('c', 'm')", true},
				{"billing_service", "DELETE FROM inbox_events WHERE consumer = 'c'", true},
				{"billing_service", "INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('c', 't', 'k')",
					true},
				{"billing_service", "SELECT topic FROM inbox_blocked FOR UPDATE", true},
				{"billing_service", "SELECT id FROM outbox_events", false},
				{"billing_service", "INSERT INTO inbox_parked (consumer, message_id, topic, event_key, headers) " +
					"VALUES ('c', 'p', 't', 'k', '{}')", true},
				{"inbox_operator", "SELECT id FROM outbox_events", false},
				{"inbox_operator", "DELETE FROM inbox_parked", false},
				{"inbox_operator", "UPDATE inbox_parked SET payload = NULL", false},
				{"inbox_operator", "DELETE FROM inbox_blocked", false},
				{"inbox_operator", "INSERT INTO inbox_events (consumer, message_id) VALUES ('c', 'm')", false},
			} {
				_, err := users[c.user].DB.ExecContext(t.Context(), c.statement)
				if c.allowed {
					require.NoError(t, err, "%s: %s", c.user, c.statement)
				} else {
					require.True(t, sqldb.IsDenied(err), "%s: %s: %v", c.user, c.statement, err)
				}
			}
			requireOperator(t, users["inbox_operator"])
			relay := users["postroom_relay"]
			require.NoError(
				t,
				migrations.Check(t.Context(), relay.DB, db.Dialect, migrations.Options{Only: migrations.OutboxOnly}),
			)
			if db.Dialect == migrations.MySQL {
				tx, err := users["orders_service"].DB.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = tx.ExecContext(
					t.Context(), "SELECT slot FROM outbox_key_locks WHERE slot IN (7) ORDER BY slot FOR UPDATE",
				)
				require.NoError(t, err)
				require.NoError(t, tx.Rollback())
			}
		})
	}
}

// requireOperator runs the statements of the commands of `relay inbox`.
func requireOperator(t *testing.T, operator dbtest.Database) {
	t.Helper()
	names := sqldb.Names{Dialect: operator.Dialect}
	require.NoError(
		t,
		migrations.Check(t.Context(), operator.DB, operator.Dialect, migrations.Options{Only: migrations.InboxOnly}),
	)
	status, err := inboxstore.ReadStatus(t.Context(), operator.DB, names, "")
	require.NoError(t, err)
	require.Empty(t, status.Absent)
	store, err := parked.Inbox(operator.DB, names)
	require.NoError(t, err)
	rows, _, err := store.List(t.Context(), parked.Filter{}, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	id := parked.ID{Seq: rows[0].Seq}
	_, err = store.Find(t.Context(), parked.Filter{}, id, 100)
	require.NoError(t, err)
	for _, request := range []parked.Request{
		{State: sqldb.ParkedRetry, IDs: []parked.ID{id}},
		{State: sqldb.ParkedDrop, Reason: "a test"},
	} {
		answer, err := store.Request(t.Context(), request)
		require.NoError(t, err, request.State)
		require.EqualValues(t, 1, answer.Marked)
	}
	looks, err := facts.New(operator.DB, names, 30*time.Second)
	require.NoError(t, err)
	_, err = looks.LooseKeys(t.Context())
	require.NoError(t, err)
}

// The rights for migrations on MySQL are those that the docs list.
func TestTheRightsToMigrateInTheDocsAreEnough(t *testing.T) {
	t.Parallel()
	db := dbtest.MariaDB(t)
	migrator := dbtest.Restricted(t, db, "CREATE, ALTER, INDEX, SELECT, INSERT, UPDATE ON *")
	require.Len(t, apply(t, migrator, migrations.Options{}), len(allFiles))

	pg := dbtest.PostgreSQL(t)
	require.Len(t, apply(t, dbtest.Restricted(t, pg, "CREATE ON SCHEMA public"), migrations.Options{}), len(allFiles))
}
