package doctor_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/migrations"
)

func TestTablesThatWereNeverMadeAreMissing(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.source.Names.Prefix, c.source.Flags = "none_", " --table-prefix none_"
		found := c.examine()
		requireFinding(t, found.only(t, "tables.missing"), doctor.Problem, "none_outbox_events",
			"relay migrate up --table-prefix none_")
		require.Len(t, found.worse(), 1, "what depends on the tables is not told again: %+v", found)
	})
}

func TestATableThatWasDroppedIsMissing(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.exec("DROP TABLE outbox_drops")
		requireFinding(t, c.examine().only(t, "tables.missing"), doctor.Problem, "outbox_drops",
			"relay migrate print --config relay.yaml")
	})
}

func TestAPendingMigrationIsAWarning(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.exec("DROP TABLE outbox_scheduled", "DROP TABLE outbox_archive", "DROP TABLE outbox_relays",
			"DROP TABLE outbox_drops",
			"DELETE FROM postroom_schema WHERE version = 3")
		found := c.examine()
		requireFinding(t, found.only(t, "tables.pending"), doctor.Warning, "00003_outbox_relay.sql",
			"relay migrate up --config relay.yaml")
		require.Len(t, found.worse(), 1, "%+v", found)
	})
}

func TestTablesOfANewerBuildAreNamed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.exec("INSERT INTO postroom_schema (version, name) VALUES (90, '00090_outbox_next.sql')")
		requireFinding(t, c.examine().only(t, "tables.new"), doctor.Note, "00090_outbox_next.sql", "relay version")
		c.exec("INSERT INTO postroom_schema (version, name) VALUES (91, '00091_outbox_later.sql')")
		requireFinding(t, c.examine().only(t, "tables.new"), doctor.Problem, "outbox_events", "go install")
	})
}

// There are not enough migrations yet for tables that are two versions behind.
func TestTablesThatAreTooOldAreNamed(t *testing.T) {
	f := healthyFacts()
	f.Unusable = fmt.Errorf("%w: 2 versions behind this build", migrations.ErrTooOld)
	requireFinding(t, findings(f.Check()).only(t, "tables.old"), doctor.Problem, "outbox_events", "relay migrate up")
}

func TestAMigrationThatRunsIsNamedWithItsHolder(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		soon := map[db.Dialect]string{
			db.PostgreSQL: "clock_timestamp() + interval '20 s'", db.MySQL: "utc_timestamp(6) + INTERVAL " +
				"20 SECOND",
			db.SQLite: "strftime('%Y-%m-%dT%H:%M:%f', 'now', '+20 seconds')",
		}[c.db.Dialect]
		c.exec("UPDATE postroom_schema_lock SET owner = 'host-7-abc', expires_at = " + soon)
		locked := c.examine().only(t, "tables.locked")
		requireFinding(t, locked, doctor.Warning, "postroom_schema_lock", "relay migrate status --config relay.yaml")
		require.Contains(t, locked.What, "host-7-abc")
	})
}

// healthyFacts returns answers without a fault, for faults that no test can make on a server.
func healthyFacts() *doctor.Facts {
	return &doctor.Facts{
		Source: doctor.Source{
			Name: "default", Names: db.Names{Dialect: db.PostgreSQL}, Where: "postgresql at db:5432/shop",
			At:      "kafka at k:9092",
			Brokers: []string{"k:9092"}, MaxRecordBytes: 1_048_588,
		},
	}
}

func onMySQL(f *doctor.Facts) *doctor.Facts {
	f.Names.Dialect = db.MySQL
	f.Server = &facts.Server{User: "'relay'@'%'", SQLMode: "STRICT_TRANS_TABLES", AutoIncrement: 1,
		Isolation: "read committed"}
	return f
}
