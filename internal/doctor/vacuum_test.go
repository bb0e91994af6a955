package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
)

func TestAutovacuumThatIsOffForTheTableIsTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("ALTER TABLE outbox_events SET (autovacuum_enabled = off)")
		off := c.examine().only(t, "vacuum.off")
		requireFinding(t, off, doctor.Problem, "outbox_events", "ALTER TABLE outbox_events RESET (autovacuum_enabled);")
		c.exec(off.Do...)
		require.Empty(t, c.examine().worse())
	})
}

func TestTableSettingsThatAreNotTheMigrationsAreTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("ALTER TABLE outbox_events RESET (autovacuum_vacuum_scale_factor)", "ALTER TABLE outbox_events SET "+
			"(autovacuum_vacuum_threshold = 1000000, vacuum_truncate = false)")
		settings := c.examine().only(t, "vacuum.settings")
		requireFinding(t, settings, doctor.Warning, "outbox_events", "ALTER TABLE outbox_events SET "+
			"(autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);")
		require.Contains(t, settings.What, "autovacuum_vacuum_scale_factor is not set, autovacuum_vacuum_threshold "+
			"is 1000000")
		c.exec(settings.Do...)
		require.Empty(t, c.examine().worse())
	})
}

func TestDeadRowsThatNobodyRemovesAreTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("ALTER TABLE outbox_events SET (autovacuum_enabled = off)",
			"INSERT INTO outbox_events (topic) SELECT 'orders' FROM generate_series(1, 60000)",
			"DELETE FROM outbox_events")
		// A session reports its counts within a second.
		dead := c.eventually("vacuum.dead", func(doctor.Finding) bool { return true })
		requireFinding(t, dead, doctor.Warning, "outbox_events", "VACUUM (ANALYZE, VERBOSE) outbox_events;")
		require.Contains(t, dead.What, "60,000 dead rows")
		require.Contains(t, dead.What, "no recent vacuum: it has never run")
		c.exec("VACUUM (ANALYZE) outbox_events")
		require.Eventually(t, func() bool { return len(c.examine().all("vacuum.dead")) == 0 }, wait,
			100*time.Millisecond)
	})
}

// A relay at full speed leaves millions of dead rows between two runs of vacuum.
func TestDeadRowsOfABusyTableAreFine(t *testing.T) {
	f := healthyFacts()
	f.Vacuum = &facts.Vacuum{History: -1, Settings: facts.QueueSettings(), TableSwitch: true, Automatic: true,
		Threshold: 5000, Dead: 3_000_000, Last: 40 * time.Second}
	require.Empty(t, findings(f.Check()).worse())
	f.Vacuum.Last = time.Hour
	require.Contains(t, findings(f.Check()).only(t, "vacuum.dead").What, "it ran 1h0m0s ago")
}

func TestWhatTheServerDoesForAllTablesIsTold(t *testing.T) {
	f := healthyFacts()
	f.Vacuum = &facts.Vacuum{History: -1, Settings: facts.QueueSettings(), TableSwitch: true, ServerWide: "autovacuum",
		HeldBack: []facts.Horizon{{Kind: "slot", Name: "old'one", Age: 12345}, {Kind: "standby", Name: "replica",
			Age: 7}}}
	found := findings(f.Check())
	requireFinding(t, found.only(t, "vacuum.off"), doctor.Problem, "autovacuum",
		"ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();")
	held := found.all("vacuum.held")
	require.Len(t, held, 2)
	requireFinding(t, held[0], doctor.Note, "slot old'one", "SELECT pg_drop_replication_slot('old''one');")
	require.Contains(t, held[0].What, "12,345 transactions")
	requireFinding(t, held[1], doctor.Note, "standby replica", "hot_standby_feedback")
}

func TestALongHistoryOnMySQLIsTold(t *testing.T) {
	f := onMySQL(healthyFacts())
	f.Vacuum = &facts.Vacuum{History: 1_234_567}
	history := findings(f.Check()).only(t, "vacuum.history")
	requireFinding(t, history, doctor.Warning, "InnoDB", "innodb_trx")
	require.Contains(t, history.What, "1,234,567")
}

// Vacuum runs every minute and removes nothing, because a transaction that began earlier still sees the rows.
// So the time of the last run says nothing.
func TestDeadRowsThatAnOldTransactionKeepsAreTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("INSERT INTO outbox_events (topic) SELECT 'orders' FROM generate_series(1, 60000)")
		old := c.begin()
		old.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM outbox_leases")
		c.exec("DELETE FROM outbox_events", "VACUUM (ANALYZE) outbox_events")
		dead := c.eventually("vacuum.dead", func(f doctor.Finding) bool {
			return strings.Contains(f.What,
				"could not remove")
		})
		requireFinding(t, dead, doctor.Warning, "outbox_events", "pg_stat_activity")
		require.Contains(t, dead.What, "60,000 dead rows")
		require.Contains(t, dead.What, "session "+old.pid)
		old.exec("COMMIT")
		c.exec("VACUUM (ANALYZE) outbox_events")
		require.Eventually(t, func() bool { return len(c.examine().all("vacuum.dead")) == 0 }, wait,
			100*time.Millisecond)
	})
}

func TestDeadRowsThatASlotKeepsAreTold(t *testing.T) {
	f := healthyFacts()
	f.Vacuum = &facts.Vacuum{History: -1, Settings: facts.QueueSettings(), TableSwitch: true, Automatic: true,
		Threshold: 5000, Dead: 300_000, Last: 40 * time.Second,
		HeldBack: []facts.Horizon{{Kind: "slot", Name: "old", Age: 20_000}}}
	dead := findings(f.Check()).only(t, "vacuum.dead")
	require.Contains(t, dead.What, "the slot old keeps rows")
	f.Vacuum.HeldBack[0].Age = 100
	require.Empty(t, findings(f.Check()).all("vacuum.dead"))
}
