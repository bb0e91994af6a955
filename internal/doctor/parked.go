package doctor

import (
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// parked tells of events that were set aside.
func parked(f *Facts, found *findings) {
	p, table := f.Parked, f.table(dialect.Parked)
	if p == nil {
		return
	}
	if p.Failed+p.Blocked > 0 {
		failed := counted(p.Failed, "refused event")
		if p.More {
			failed = "more than " + failed
		}
		what := fmt.Sprintf("%s and %s behind them are parked, of %s, since %s", failed, counted(p.Blocked, "later one"), counted(p.Keys, "key"), duration(p.Age))
		do := []string{f.relay("parked list")}
		if o := p.Oldest; o != nil {
			what += fmt.Sprintf("; the oldest, event %s in topic %q: %s", o.EventID, o.Topic, short(o.Error))
			do = append(do, f.relay("parked show "+o.EventID), f.relay("parked retry "+o.EventID))
		}
		found.add(Problem, "parked.failed", table, what, "they are not delivered until someone mends the cause and retries them, or drops them", do...)
	}
	if p.Asked > 0 {
		found.add(Note, "parked.asked", table, fmt.Sprintf("%s %s for the relay to be retried or dropped", counted(p.Asked, "parked event"), verb(p.Asked, "waits", "wait")),
			"the relay that owns the source does it within seconds; if it does not, see the findings about the lease", f.relay("parked list"))
	}
}
