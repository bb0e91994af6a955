//go:build unix

package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/servertest"
)

// These faults affect a whole server, so the test starts servers of its own.

func TestSettingsOfAPostgreSQLThatLoseCommitsAreTold(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgreSQL(t, "fsync = off", "full_page_writes = off", "synchronous_commit = off",
		"autovacuum = off", "track_counts = off")
	c := newClinic(t, servertest.Open(t, server.URL))
	found := c.examine()
	for check, setting := range map[string]string{
		"durability.fsync": "fsync", "durability.full-page-writes": "full_page_writes",
		"durability.synchronous-commit": "synchronous_commit",
	} {
		requireFinding(t, found.only(t, check), doctor.Problem, setting, "ALTER SYSTEM SET "+setting+
			" = on; SELECT pg_reload_conf();")
	}
	requireFinding(t, found.only(t, "vacuum.off"), doctor.Problem, "autovacuum", "ALTER SYSTEM SET autovacuum = on;")
	require.Len(t, found.worse(), 4, "%s", found.ids())
}

func TestAStandbyIsTold(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgreSQL(t, "fsync = on")
	c := newClinic(t, servertest.Open(t, server.URL))
	require.Empty(t, c.examine().worse(), "a server of its own is healthy")
	server.RestartAsStandby(t)
	c.source.DB = servertest.Open(t, server.URL).DB
	requireFinding(t, c.examine().only(t, "nodes.standby"), doctor.Problem, "the test's database",
		"SELECT pg_is_in_recovery();")
}

func TestSettingsOfAMariaDBThatLoseCommitsOrOrderAreTold(t *testing.T) {
	t.Parallel()
	c := newClinic(t, servertest.Open(t, servertest.NewMariaDB(t,
		"--innodb-flush-log-at-trx-commit=2", "--log-bin=binlog", "--sync-binlog=0", "--innodb-doublewrite=0",
		"--sql-mode=NO_ENGINE_SUBSTITUTION", "--auto-increment-increment=2")))
	found := c.examine()
	for check, command := range map[string]string{
		"durability.flush-log":   "SET GLOBAL innodb_flush_log_at_trx_commit = 1;",
		"durability.sync-binlog": "SET GLOBAL sync_binlog = 1;",
		"durability.doublewrite": "innodb_doublewrite = ON",
	} {
		f := found.only(t, check)
		requireFinding(t, f, doctor.Problem, f.Subject, command)
	}
	requireFinding(t, found.only(t, "order.sql-mode"), doctor.Warning, "sql_mode",
		"SET GLOBAL sql_mode = 'NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES';")
	requireFinding(t, found.only(t, "nodes.several"), doctor.Problem, "the test's database",
		"SET GLOBAL auto_increment_increment = 1;")

	for _, check := range []string{"durability.flush-log", "durability.sync-binlog", "order.sql-mode"} {
		c.exec(found.only(t, check).Do...)
	}
	c.exec("SET GLOBAL auto_increment_increment = 1")
	found = c.examine()
	require.Equal(t, "durability.doublewrite", found.worse()[0].Check)
	require.Len(t, found.worse(), 1, "the statements mend it: %s", found.ids())

	c.exec("SET GLOBAL read_only = 1")
	requireFinding(t, c.examine().only(t, "nodes.standby"), doctor.Problem, "the test's database",
		"SELECT @@read_only, @@hostname;")
	require.Equal(t, db.MySQL, c.db.Dialect)
}
