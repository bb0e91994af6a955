package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
)

// relayRights returns the rights that docs/tables.md gives a relay's user.
func relayRights(d db.Dialect) []string {
	rights := []string{
		"SELECT, INSERT, DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases", "SELECT ON postroom_schema",
	}
	for _, table := range []string{"parked", "archive", "scheduled", "relays", "drops"} {
		rights = append(rights, "SELECT, INSERT, UPDATE, DELETE ON outbox_"+table)
	}
	if d == db.PostgreSQL {
		return append(rights, "SELECT ON SEQUENCE outbox_events_id_seq")
	}
	return append(rights, "PROCESS ON *.*")
}

func TestNothingIsWrongWithAHealthyInstallation(t *testing.T) {
	everyDatabase(t, func(t *testing.T, c *clinic) {
		c.insert()
		r := doctor.Examine(t.Context(), c.source, c.opts)
		requireKnown(t, r.Findings)
		require.Empty(t, findings(r.Findings).worse())
		require.True(t, r.DatabaseSeen)
		require.True(t, r.SinkSeen)
		requireFinding(t, findings(r.Findings).only(t, "lease.owner"), doctor.Note, "outbox_leases",
			"relay status --config relay.yaml")
		requireFinding(t, findings(r.Findings).only(t, "delivery.backlog"), doctor.Note, "outbox_events",
			"relay status --config relay.yaml")
		require.Contains(t, c.source.Sink.(*fakeKafka).asked, "orders", "the topics of waiting events are looked at")
	})
}

func TestTheRightsOfADocumentedRelayAreEnough(t *testing.T) {
	everyDatabase(t, func(t *testing.T, c *clinic) {
		if c.db.Dialect == db.SQLite {
			return // SQLite has no users
		}
		c.as(relayRights(c.db.Dialect)...)
		c.insert()
		found := c.examine()
		require.Empty(t, found.worse())
		// A relay needs no right on the migration lock, so doctor reports that it cannot read it.
		denied := found.all("look.denied")
		require.NotEmpty(t, denied)
		requireFinding(t, denied[0], doctor.Note, "the migration lock", "GRANT SELECT ON postroom_schema_lock TO ")
	})
}

func TestExaminingChangesNothing(t *testing.T) {
	everyDatabase(t, func(t *testing.T, c *clinic) {
		c.insert()
		before := c.state()
		c.examine()
		require.Equal(t, before, c.state())
	})
}

// state returns everything that doctor must not change.
func (c *clinic) state() []string {
	c.t.Helper()
	var all []string
	for _, q := range []string{"SELECT count(*) FROM outbox_events", "SELECT epoch FROM outbox_leases",
		"SELECT owner FROM outbox_leases", "SELECT max(id) FROM outbox_events"} {
		var v string
		require.NoError(c.t, c.db.DB.QueryRowContext(c.t.Context(), q).Scan(&v))
		all = append(all, v)
	}
	return all
}

func TestAPrefixAndASchemaAreFollowed(t *testing.T) {
	t.Parallel()
	c := newClinic(t, dbtest.PostgreSQL(t))
	c.source.Names = db.Names{Dialect: c.db.Dialect, Prefix: "shop_", Schema: "events"}
	found := c.examine()
	require.Equal(t, "events.shop_outbox_events", found.only(t, "tables.missing").Subject)
	require.Contains(t, found.only(t, "tables.missing").Do[0], "relay migrate up")
}
