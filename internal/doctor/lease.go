package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/ops"
)

// longestLease is the longest that a relay may be configured with.
const longestLease = 10 * time.Minute

// lease says who delivers, or why nobody does.
func lease(f *Facts, found *findings) {
	l, table := f.Lease, f.table(dialect.Leases)
	if f.LeaseGone {
		found.add(Problem, "lease.row", table, "its one row is gone", "no relay can take the source", "INSERT INTO "+table+" (id) VALUES (1);")
	}
	if l == nil {
		return
	}
	if l.Source != "" && l.Source != f.Name {
		found.add(Problem, "lease.source", table, fmt.Sprintf("the table belongs to source %q, and %q is configured", l.Source, f.Name),
			"a relay that is configured so is refused: is it the right table? Then give the source its name, in a file under sources[].name", "relay run --source "+ops.ShellWord(l.Source))
	}
	if mode := f.mode(); l.Mode != "" && l.Mode != mode {
		found.add(Warning, "lease.mode", table, fmt.Sprintf("the source was last delivered %s, and %s is configured", l.Mode, mode),
			"all relays of a source run in one mode: while both do, only the weaker promise holds. To change it on purpose, stop all of them first",
			f.runWith("mode", l.Mode))
	}
	switch {
	case l.Halted != "":
		reason := "halted: " + strings.TrimPrefix(l.Halted, "halted: ")
		found.add(Problem, "lease.halted", table, short(reason), "no event of this source is delivered", f.relay("status"), f.run())
	case l.Owner == "" && l.Epoch == 0:
		found.add(Problem, "lease.stopped", table, "no relay has ever owned this source", "its events wait", f.run())
	case l.Owner == "":
		found.add(Problem, "lease.stopped", table, fmt.Sprintf("nobody owns this source: the relay of epoch %d gave it up", l.Epoch),
			"its events wait", f.run())
	case !l.Expires || l.Left <= 0:
		found.add(Problem, "lease.stopped", table, fmt.Sprintf("nobody owns this source: the lease of epoch %d (owner %s) ran out %s ago", l.Epoch, l.Owner, duration(-l.Left)),
			"its events wait: the relay that had it is gone or cannot reach the database, and no other is running", f.run())
	case l.Left > 2*farthest(l.TTL):
		found.add(Problem, "lease.expiry", table, fmt.Sprintf("the lease ends in %s, and is taken for %s at a time: the database's clock was set back since", duration(l.Left), duration(farthest(l.TTL))),
			"its owner does not renew it; a running relay of this version takes it all the same", "timedatectl status", f.run())
	default:
		why := "this relay delivers"
		if l.Blind != "" || l.Outage.Reason != "" {
			why = "this relay owns the source, and cannot deliver: see lease.blind or lease.outage"
		}
		found.add(Note, "lease.owner", table, fmt.Sprintf("owner %s, epoch %d, %s, lease for %s more (of %s)", l.Owner, l.Epoch, l.Mode, duration(l.Left), duration(l.TTL)),
			why, f.relay("status"))
		blind(f, found)
		outage(f, found)
	}
	processes(f, found)
}

// blind says that the owner has no way to the sink, as it wrote into the lease row itself.
func blind(f *Facts, found *findings) {
	if f.Lease.Blind == "" {
		return
	}
	why := "its events wait. Another relay that reaches the sink is handed the source within a minute: none is here, or none can either"
	if f.SinkErr == nil && f.Sink != nil {
		why += "; from here the sink can be reached"
	}
	found.add(Problem, "lease.blind", f.table(dialect.Leases), fmt.Sprintf("owner %s, epoch %d, has not reached the sink since %s", f.Lease.Owner, f.Lease.Epoch, f.Lease.Blind),
		why, f.run())
}

// outage says why the owner cannot deliver, as it wrote into the lease row itself.
func outage(f *Facts, found *findings) {
	o := f.Lease.Outage
	if o.Reason == "" {
		return
	}
	reason := strings.Join(strings.Fields(o.Reason), " ") // whole: it may end in a command
	found.add(Problem, "lease.outage", f.table(dialect.Leases), fmt.Sprintf("its owner cannot deliver since %s: %s", moment(o.Since), reason),
		"its events wait; it goes on by itself when what is in the way is gone", f.relay("status"))
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
		names = append(names, fmt.Sprintf("%s (%s, owns %s, seen %s ago)", r.Host, r.ID, counted(r.Owned, "source"), duration(r.Seen)))
	}
	if len(names) > 0 {
		found.add(Note, "lease.relays", f.table("outbox_relays"), fmt.Sprintf("%s: %s", counted(int64(len(names)), "live relay"), strings.Join(names, "; ")),
			"these share the sources between them", f.relay("status"))
	}
}

// live are the relays that were seen lately.
func (f *Facts) live() []facts.Relay {
	limit := dialect.AliveFor(0)
	if f.Lease != nil {
		limit = dialect.AliveFor(f.Lease.TTL)
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
