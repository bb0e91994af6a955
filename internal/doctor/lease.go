package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/ops"
	relaystore "github.com/postroom/postroom/internal/store/relay"
)

// longestLease is the longest lease that a relay's configuration allows.
const longestLease = 10 * time.Minute

// lease finds the owner of the source, or why it has none.
func lease(f *Facts, found *findings) {
	l, table := f.Lease, f.table(db.Leases)
	if f.LeaseGone {
		found.add(Problem, "lease.row", table, "its only row is missing", "no relay can own the source", "INSERT INTO "+
			table+" (id) VALUES (1);")
	}
	if l == nil {
		return
	}
	if l.Source != "" && l.Source != f.Name {
		found.add(Problem, "lease.source", table, fmt.Sprintf("the table belongs to source %q, and %q is configured",
			l.Source, f.Name),
			"a relay with this configuration does not start. If this is the right table, configure the name of its "+
				"source (in a file: sources[].name)", "relay run --source "+ops.ShellWord(l.Source))
	}
	if mode := f.mode(); l.Mode != "" && l.Mode != mode {
		found.add(Warning, "lease.mode", table, fmt.Sprintf("the source was last delivered %s, and %s is configured",
			l.Mode, mode),
			"all relays of a source must run in one mode. While they run in both, only the weaker guarantee holds. "+
				"To change the mode, stop all relays first",
			f.runWith("mode", l.Mode))
	}
	switch {
	case l.Halted != "":
		reason := "halted: " + strings.TrimPrefix(l.Halted, "halted: ")
		found.add(Problem, "lease.halted", table, short(reason), "no event of this source is delivered",
			f.relay("status"), f.run())
	case l.Owner == "" && l.Epoch == 0:
		found.add(Problem, "lease.stopped", table, "no relay has ever owned this source",
			"events wait until a relay runs", f.run())
	case l.Owner == "":
		found.add(Problem, "lease.stopped", table,
			fmt.Sprintf("no relay owns this source: the relay of epoch %d released it", l.Epoch),
			"events wait until a relay runs", f.run())
	case !l.Expires || l.Left <= 0:
		found.add(Problem, "lease.stopped", table,
			fmt.Sprintf("no relay owns this source: the lease of epoch %d (owner %s) expired %s ago", l.Epoch, l.Owner,
				duration(-l.Left)),
			"events wait. The last relay has stopped or cannot reach the database, and no other relay runs", f.run())
	case l.Left > 2*farthest(l.TTL):
		found.add(Problem, "lease.expiry", table, fmt.Sprintf("the lease expires in %s, although a relay takes it "+
			"for %s at a time: the database's clock was set back", duration(l.Left), duration(farthest(l.TTL))),
			"its owner does not renew it. A running relay of this version takes it anyway", "timedatectl status",
			f.run())
	default:
		why := "this relay delivers"
		if l.Blind != "" || l.Outage.Reason != "" {
			why = "this relay owns the source but cannot deliver: see lease.blind or lease.outage"
		}
		found.add(Note, "lease.owner", table, fmt.Sprintf("owner %s, epoch %d, %s, the lease expires in %s (of %s)",
			l.Owner, l.Epoch, l.Mode, duration(l.Left), duration(l.TTL)),
			why, f.relay("status"))
		blind(f, found)
		outage(f, found)
	}
	processes(f, found)
}

// blind finds an owner that cannot reach the sink. The owner wrote it into the lease row.
func blind(f *Facts, found *findings) {
	if f.Lease.Blind == "" {
		return
	}
	why := "events wait. Another relay that can reach the sink takes over within a minute: no other relay runs, or " +
		"none can reach the sink"
	if f.sinkSeen() {
		why += ". From this host the sink can be reached"
	}
	found.add(Problem, "lease.blind", f.table(db.Leases),
		fmt.Sprintf("owner %s, epoch %d, cannot reach the sink since %s", f.Lease.Owner, f.Lease.Epoch, f.Lease.Blind),
		why, f.run())
}

// outage says why the owner cannot deliver. The owner wrote it into the lease row.
func outage(f *Facts, found *findings) {
	o := f.Lease.Outage
	if o.Reason == "" {
		return
	}
	reason := strings.Join(strings.Fields(o.Reason), " ") // not shortened: it may end with a command
	found.add(Problem, "lease.outage", f.table(db.Leases), fmt.Sprintf("the owner cannot deliver since %s: %s",
		moment(o.Since), reason),
		"events wait. The relay continues by itself when the cause is gone", f.relay("status"))
}

func farthest(ttl time.Duration) time.Duration {
	if ttl <= 0 {
		return longestLease
	}
	return ttl
}

// processes lists the live relays.
func processes(f *Facts, found *findings) {
	var names []string
	for _, r := range f.live() {
		names = append(names, fmt.Sprintf("%s (%s, owns %s, seen %s ago)", r.Host, r.ID, counted(r.Owned, "source"),
			duration(r.Seen)))
	}
	if len(names) > 0 {
		found.add(Note, "lease.relays", f.table("outbox_relays"), fmt.Sprintf("%s: %s", counted(int64(len(names)),
			"live relay"), strings.Join(names, "; ")),
			"these processes share the sources", f.relay("status"))
	}
}

// live returns the relays that have reported recently.
func (f *Facts) live() []facts.Relay {
	limit := relaystore.AliveFor(0)
	if f.Lease != nil {
		limit = relaystore.AliveFor(f.Lease.TTL)
	}
	var live []facts.Relay
	for _, r := range f.Relays {
		if r.Seen <= limit {
			live = append(live, r)
		}
	}
	return live
}

func (f *Facts) mode() string {
	if f.ExactlyOnce {
		return "exactly-once"
	}
	return "at-least-once"
}
