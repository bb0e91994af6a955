package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// nodes finds a database server that is a standby, or one of several writable nodes.
func nodes(f *Facts, found *findings) {
	s := f.Server
	if s == nil {
		return
	}
	if s.Standby {
		what, do := "the server is a standby", "SELECT pg_is_in_recovery();"
		if f.is(db.MySQL) {
			what, do = "the server is read-only, like a replica", "SELECT @@read_only, @@hostname;"
		}
		found.add(Problem, "nodes.standby", f.Where, what, "a standby lags behind the primary, so a relay does not "+
			"start. Use the primary in the database URL", do)
	}
	switch {
	case s.Cluster != "" && s.SinglePrimary:
		found.add(Note, "nodes.several", f.Where, "the server is a node of "+s.Cluster+" with a single primary",
			"the order of events is kept as long as only the primary is written to",
			"SELECT member_host, member_role FROM performance_schema.replication_group_members;")
	case s.Cluster != "":
		size := ""
		if s.Nodes > 0 {
			size = fmt.Sprintf(" of %d nodes", s.Nodes)
		}
		found.add(Problem, "nodes.several", f.Where,
			fmt.Sprintf("the server is a node of %s%s, and several nodes may be writable", s.Cluster, size),
			"on several nodes ids do not follow the order of commits. No order is guaranteed, and a relay on another "+
				"node may send events again. Let all writers and relays use one node",
			"SHOW GLOBAL STATUS LIKE 'wsrep_incoming_addresses';")
		elsewhere(f, found)
	case s.AutoIncrement > 1:
		found.add(Problem, "nodes.several", f.Where,
			fmt.Sprintf("auto_increment_increment is %d, as if several nodes were writable", s.AutoIncrement),
			"on several nodes ids do not follow the order of commits, so no order is guaranteed",
			"SET GLOBAL auto_increment_increment = 1; SET GLOBAL auto_increment_offset = 1;")
	}
}

// elsewhere finds relays on several hosts, which may be connected to different nodes.
func elsewhere(f *Facts, found *findings) {
	var hosts []string
	for _, r := range f.live() {
		if !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	if len(hosts) > 1 {
		found.add(Warning, "nodes.relays", f.table("outbox_relays"),
			fmt.Sprintf("relays run on %s, and the database has several nodes", strings.Join(hosts, ", ")),
			"all relays must use the same node: another node sees a new lease later",
			"SELECT user, host FROM information_schema.processlist;")
	}
}
