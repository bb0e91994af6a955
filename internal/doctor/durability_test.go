package doctor_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// The setting of a writer's role counts, and doctor connects with another role.
func TestARoleThatDoesNotWaitForItsCommitsIsNamed(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		writer := dbtest.Restricted(t, c.db, "INSERT ON outbox_events")
		u, err := url.Parse(writer.URL)
		require.NoError(t, err)
		role := u.User.Username()
		var database string
		require.NoError(t, c.db.DB.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&database))

		c.exec("ALTER ROLE " + role + " SET synchronous_commit = off")
		off := mine(c.examine().all("durability.synchronous-commit"), role)
		requireFinding(t, off, doctor.Problem, "synchronous_commit", "ALTER ROLE "+role+" RESET synchronous_commit;")
		require.Equal(t, "synchronous_commit is off for role "+role, off.What)
		c.exec(off.Do...)

		c.exec("ALTER ROLE " + role + " IN DATABASE " + database + " SET synchronous_commit = off")
		off = mine(c.examine().all("durability.synchronous-commit"), role)
		requireFinding(t, off, doctor.Problem, "synchronous_commit", "ALTER ROLE "+role+" IN DATABASE "+database+
			" RESET synchronous_commit;")
		c.exec(off.Do...)

		c.exec("ALTER DATABASE " + database + " SET synchronous_commit = off")
		off = mine(c.examine().all("durability.synchronous-commit"), database)
		requireFinding(t, off, doctor.Problem, "synchronous_commit", "ALTER DATABASE "+database+
			" RESET synchronous_commit;")
		c.exec(off.Do...)
		require.Empty(t, c.examine().worse())
	})
}

// mine filters out what other tests do on the same server.
func mine(found findings, name string) doctor.Finding {
	for _, f := range found {
		if len(f.Do) > 0 && strings.Contains(f.What, name) {
			return f
		}
	}
	return doctor.Finding{}
}

func TestASynchronousStandbyThatIsNotWaitedForIsAWarning(t *testing.T) {
	f := healthyFacts()
	f.Durability = &facts.Durability{Standbys: true, Settings: []facts.Setting{{Name: "synchronous_commit",
		Value: "local", Role: "app"}}}
	requireFinding(t, findings(f.Check()).only(t, "durability.synchronous-commit"), doctor.Warning,
		"synchronous_commit", "ALTER ROLE app RESET")
	f.Durability.Standbys = false
	require.Empty(t, findings(f.Check()).worse(), "without a standby it is as good as on")
}

func TestATableThatDoesNotSurviveACrashIsNamed(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) {
		onPostgres(t, func(t *testing.T, c *clinic) {
			c.exec("ALTER TABLE outbox_events SET UNLOGGED")
			table := c.examine().only(t, "durability.table")
			requireFinding(t, table, doctor.Problem, "outbox_events", "ALTER TABLE outbox_events SET LOGGED;")
			c.exec(table.Do...)
			require.Empty(t, c.examine().worse())
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		c := onMariaDB(t)
		c.exec("ALTER TABLE outbox_parked ENGINE = Aria")
		table := c.examine().only(t, "durability.table")
		requireFinding(t, table, doctor.Problem, "outbox_parked", "ALTER TABLE outbox_parked ENGINE = InnoDB;")
		require.Contains(t, table.What, "Aria")
		c.exec(table.Do...)
		require.Empty(t, c.examine().worse())
	})
}

func TestAnSQLiteFileThatIsNotInWALModeIsTold(t *testing.T) {
	c := onSQLite(t)
	c.exec("PRAGMA journal_mode = DELETE")
	require.NoError(t, c.db.DB.Close())
	target, err := dbopen.Open(t.Context(), c.db.URL, dbopen.WithoutChanges())
	require.NoError(t, err)
	defer func() { _ = target.DB.Close() }()
	c.source.DB = target.DB
	journal := c.examine().only(t, "durability.journal-mode")
	requireFinding(t, journal, doctor.Warning, "journal_mode", "PRAGMA journal_mode = WAL;")
	require.Contains(t, journal.What, "delete")
	require.Len(t, c.examine().all("durability.journal-mode"), 1, "looking has not changed it")
}

// Each of our connections uses FULL. This one does not.
func TestAConnectionThatDoesNotWaitForTheDiskIsTold(t *testing.T) {
	c := onSQLite(t)
	c.db.DB.SetMaxOpenConns(1)
	c.exec("PRAGMA synchronous = NORMAL")
	requireFinding(t, c.examine().only(t, "durability.synchronous"), doctor.Problem, "synchronous",
		"PRAGMA synchronous = FULL;")
}
