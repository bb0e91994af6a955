package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// There are no clusters of several nodes here, so the test uses what their servers would report.
func TestSeveralWritableNodesAreTold(t *testing.T) {
	f := onMySQL(healthyFacts())
	f.Server.Cluster, f.Server.Nodes, f.Server.AutoIncrement = "Galera", 3, 3
	galera := findings(f.Check()).only(t, "nodes.several")
	requireFinding(t, galera, doctor.Problem, f.Where, "SHOW GLOBAL STATUS LIKE 'wsrep_incoming_addresses';")
	require.Contains(t, galera.What, "Galera of 3 nodes")
	require.Empty(t, findings(f.Check()).all("nodes.relays"))

	f.Relays = []facts.Relay{{ID: "a", Host: "blue"}, {ID: "b", Host: "green"}, {ID: "c", Host: "blue"}}
	relays := findings(f.Check()).only(t, "nodes.relays")
	requireFinding(t, relays, doctor.Warning, "outbox_relays", "processlist")
	require.Contains(t, relays.What, "blue, green")

	f = onMySQL(healthyFacts())
	f.Server.Cluster = "group replication"
	require.Equal(t, doctor.Problem, findings(f.Check()).only(t, "nodes.several").Severity)
	f.Server.SinglePrimary = true
	requireFinding(t, findings(f.Check()).only(t, "nodes.several"), doctor.Note, f.Where, "replication_group_members")
}
