package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
)

func TestATriggerOnTheOutboxIsTold(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.exec("CREATE TABLE seen (n int)")
		drop := "DROP TRIGGER \"Meddle\";"
		switch c.db.Dialect {
		case db.PostgreSQL:
			c.exec("CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
				`CREATE TRIGGER "Meddle" BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION meddle()`)
			drop = `DROP TRIGGER "Meddle" ON outbox_events;`
		case db.MySQL:
			c.exec("CREATE TRIGGER Meddle BEFORE DELETE ON outbox_events FOR EACH ROW INSERT INTO seen VALUES (1)")
			drop = "DROP TRIGGER `Meddle`;"
		default:
			c.exec(`CREATE TRIGGER "Meddle" AFTER INSERT ON outbox_events BEGIN INSERT INTO seen VALUES (1); END`)
		}
		trigger := c.examine().only(t, "order.trigger")
		requireFinding(t, trigger, doctor.Warning, "outbox_events", drop)
		c.exec(trigger.Do...)
		require.Empty(t, c.examine().worse())
	})
}

// MySQL shows triggers only to users who may create some.
func TestThatTriggersAreHiddenIsSaid(t *testing.T) {
	c := onMariaDB(t)
	c.as(relayRights(c.db.Dialect)...)
	hidden := func() (all findings) {
		for _, f := range c.examine().all("look.denied") {
			if f.Subject == "triggers" {
				all = append(all, f)
			}
		}
		return all
	}
	require.Len(t, hidden(), 1)
	requireFinding(t, hidden()[0], doctor.Note, "triggers", "GRANT TRIGGER ON outbox_events TO '")
	c.exec(hidden()[0].Do...)
	require.Empty(t, hidden())
}

func TestARuleOnTheOutboxIsTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("CREATE RULE keep AS ON DELETE TO outbox_events DO INSTEAD NOTHING")
		rule := c.examine().only(t, "order.rule")
		requireFinding(t, rule, doctor.Problem, "outbox_events", "DROP RULE keep ON outbox_events;")
		c.exec(rule.Do...)
		require.Empty(t, c.examine().worse())
	})
}

func TestRowLevelSecurityIsTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("ALTER TABLE outbox_events ENABLE ROW LEVEL SECURITY")
		off := c.examine().only(t, "order.row-security")
		requireFinding(t, off, doctor.Warning, "outbox_events", "ALTER TABLE outbox_events DISABLE ROW LEVEL SECURITY;")
		c.as(relayRights(c.db.Dialect)...)
		applies := c.examine().only(t, "order.row-security")
		require.Equal(t, doctor.Problem, applies.Severity, "the relay's user sees no row")
		c.exec(applies.Do...)
		require.Empty(t, c.examine().worse())
	})
}

func TestWhetherWritersAreSerialisedIsANote(t *testing.T) {
	c := onSQLite(t)
	requireFinding(t, c.examine().only(t, "order.writers"), doctor.Note, "outbox_events", "StrictKeyOrder")
}

// The relay sets its connections to READ COMMITTED. Another level would be a fault of the relay, or of a
// pooler.
func TestAnotherIsolationIsTold(t *testing.T) {
	f := healthyFacts()
	f.Server = &facts.Server{User: "relay", Isolation: "repeatable read"}
	requireFinding(t, findings(f.Check()).only(t, "order.isolation"), doctor.Problem, f.Where,
		"ALTER ROLE relay SET default_transaction_isolation = 'read committed';")
}
