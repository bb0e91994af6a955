package doctor_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/migrations"
)

// onServers runs fn on each database that has users.
func onServers(t *testing.T, fn func(t *testing.T, c *clinic)) {
	t.Helper()
	on(t, fn, map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
		dbtest.FlavorMariaDB: dbtest.MariaDB,
	})
}

func TestEachMissingRightIsNamedWithItsGrant(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		c.as("SELECT, DELETE ON outbox_events", "SELECT ON outbox_leases", "SELECT ON postroom_schema",
			"SELECT, INSERT, UPDATE, DELETE ON outbox_parked")
		missing := map[string]string{}
		found := c.examine()
		for _, f := range found.all("grants.missing") {
			require.Equal(t, doctor.Problem, f.Severity)
			require.Len(t, f.Do, 1)
			missing[f.Subject], _, _ = strings.Cut(strings.TrimPrefix(f.Do[0], "GRANT "), " ON ")
			c.exec(f.Do...) // each is a valid statement
		}
		require.Equal(t, map[string]string{
			"outbox_events": "INSERT", "outbox_leases": "UPDATE",
			"outbox_archive": "SELECT, INSERT, UPDATE, DELETE", "outbox_scheduled": "SELECT, INSERT, UPDATE, DELETE",
			"outbox_relays": "SELECT, INSERT, UPDATE, DELETE", "outbox_drops": "SELECT, INSERT, UPDATE, DELETE",
		}, missing)
		subject, command := "SEQUENCE public.outbox_events_id_seq", "GRANT SELECT ON SEQUENCE "+
			"public.outbox_events_id_seq TO "
		if c.db.Dialect == db.MySQL {
			subject, command = "*.*", "GRANT PROCESS ON *.* TO "
		}
		requireFinding(t, found.only(t, "grants.optional"), doctor.Warning, subject, command)
		c.exec(found.only(t, "grants.optional").Do...)
		require.Empty(t, c.examine().worse(), "the statements mend it")
	})
}

func TestARightThatIsMissingToLookIsANoteAndTheRestGoesOn(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		c.as("SELECT ON outbox_leases")
		found := c.examine()
		looks := map[string]string{}
		for _, f := range found.all("look.denied") {
			require.Equal(t, doctor.Note, f.Severity)
			looks[f.Subject] = strings.Join(f.Do, "")
		}
		require.Contains(t, looks["waiting events"], "GRANT SELECT ON outbox_events TO ")
		require.Contains(t, looks["parked events"], "GRANT SELECT ON outbox_parked TO ")
		require.Contains(t, looks["the migrations"], "GRANT SELECT ON postroom_schema TO ")
		require.NotContains(t, looks, "the lease")
		require.Len(t, found.all("lease.owner"), 1, "what may be read is read")
	})
}

// Only users with a right can see the transactions of other users' sessions.
func TestTransactionsThatAreHiddenAreANote(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		rights := relayRights(c.db.Dialect)
		if c.db.Dialect == db.MySQL {
			rights = rights[:len(rights)-1] // PROCESS
		}
		c.as(rights...)
		c.begin() // a session of another user
		var hidden findings
		for _, f := range c.examine().all("look.denied") {
			if f.Subject == "open transactions" {
				hidden = append(hidden, f)
			}
		}
		require.Len(t, hidden, 1)
		command := "GRANT pg_read_all_stats TO "
		if c.db.Dialect == db.MySQL {
			command = "GRANT PROCESS ON *.* TO "
		}
		requireFinding(t, hidden[0], doctor.Note, "open transactions", command)
	})
}

// The tables are in a schema that the user may not use.
func TestASchemaThatIsClosedIsNamed(t *testing.T) {
	t.Parallel()
	c := newClinic(t, dbtest.PostgreSQL(t))
	_, err := migrations.Apply(t.Context(), c.db.DB, c.db.Dialect, migrations.Options{Schema: "events"})
	require.NoError(t, err)
	c.source.Names.Schema = "events"
	c.as()
	found := c.examine()
	requireFinding(t, found.only(t, "grants.missing"), doctor.Problem, "SCHEMA events",
		"GRANT USAGE ON SCHEMA events TO ")
}
