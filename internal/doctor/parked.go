package doctor

import (
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/ops"
)

// areParked says what is parked: what was given up itself, and what waits behind it.
func areParked(more string, failed, blocked int64, failure, noun string) string {
	switch {
	case failed == 0:
		return more + counted(blocked, noun) + " " + verb(blocked, "is", "are") + " parked behind an earlier one of " + verb(blocked, "its key", "their keys")
	case blocked == 0:
		return more + counted(failed, failure+" "+noun) + " " + verb(failed, "is", "are") + " parked"
	}
	return more + counted(failed, failure+" "+noun) + " and " + counted(blocked, "later one") + " behind " + verb(failed, "it", "them") + " are parked"
}

// parked tells of events that were set aside.
func parked(f *Facts, found *findings) {
	p, table := f.Parked, f.table(dialect.Parked)
	if p == nil {
		return
	}
	if p.Failed+p.Blocked > 0 {
		more := ""
		if p.More {
			more = "more than "
		}
		what := fmt.Sprintf("%s, of %s, for %s", areParked(more, p.Failed, p.Blocked, "refused", "event"), counted(p.Keys, "key"), duration(p.Age))
		do := []string{f.relay("parked list")}
		if o := p.Oldest; o != nil {
			what += fmt.Sprintf("; the oldest, event %s in topic %q: %s", o.EventID, o.Topic, short(o.Error))
			retry := "parked retry " + o.EventID
			if p.Failed > 1 {
				retry = "parked retry --topic " + ops.ShellWord(o.Topic)
			}
			do = append(do, f.relay("parked show "+o.EventID), f.relay(retry))
		}
		found.add(Problem, "parked.failed", table, what, "they are not delivered until someone mends the cause and retries them, or drops them", do...)
	}
	if p.Asked > 0 {
		found.add(Note, "parked.asked", table, fmt.Sprintf("%s %s for the relay to be retried or dropped", counted(p.Asked, "parked event"), verb(p.Asked, "waits", "wait")),
			"the relay that owns the source does it within seconds; if it does not, see the findings about the lease", f.relay("parked list"))
	}
}
