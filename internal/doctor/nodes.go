package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/dialect"
)

// nodes says whether this is the one database that is written to.
func nodes(f *Facts, found *findings) {
	s := f.Server
	if s == nil {
		return
	}
	if s.Standby {
		what, do := "it is a standby", "SELECT pg_is_in_recovery();"
		if f.is(dialect.MySQL) {
			what, do = "the server is read-only, as replicas are", "SELECT @@read_only, @@hostname;"
		}
		found.add(Problem, "nodes.standby", f.Where, what, "a standby lags behind; a relay refuses it. Name the primary in the database's URL", do)
	}
	switch {
	case s.Cluster != "" && s.SinglePrimary:
		found.add(Note, "nodes.several", f.Where, "the server is a node of "+s.Cluster+" with a single primary", "events keep their order as long as that stays so",
			"SELECT member_host, member_role FROM performance_schema.replication_group_members;")
	case s.Cluster != "":
		size := ""
		if s.Nodes > 0 {
			size = fmt.Sprintf(" of %d nodes", s.Nodes)
		}
		found.add(Problem, "nodes.several", f.Where, fmt.Sprintf("the server is a node of %s%s: several nodes may be written to", s.Cluster, size),
			"ids do not follow the order of commits over several nodes: no order is promised, and a relay on another node may send events again. Have all writers and relays use one node",
			"SHOW GLOBAL STATUS LIKE 'wsrep_incoming_addresses';")
		elsewhere(f, found)
	case s.AutoIncrement > 1:
		found.add(Problem, "nodes.several", f.Where, fmt.Sprintf("auto_increment_increment is %d, as for several writable nodes", s.AutoIncrement),
			"ids do not follow the order of commits over several nodes: no order is promised", "SET GLOBAL auto_increment_increment = 1; SET GLOBAL auto_increment_offset = 1;")
	}
}

// elsewhere: relays on several hosts may each have the node nearest to them.
func elsewhere(f *Facts, found *findings) {
	var hosts []string
	for _, r := range f.live() {
		if !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	if len(hosts) > 1 {
		found.add(Warning, "nodes.relays", f.table("outbox_relays"), fmt.Sprintf("relays run on %s, with a database of several nodes", strings.Join(hosts, ", ")),
			"they must all be connected to the same node: a lease that was taken on one is seen later on another", "SELECT user, host FROM information_schema.processlist;")
	}
}
