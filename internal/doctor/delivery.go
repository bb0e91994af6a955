package doctor

import (
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// delivery says how late events are.
func delivery(f *Facts, found *findings) {
	backlog(f, found)
	if s := f.Scheduled; s != nil && s.Late >= f.MaxAge/5 {
		severity := Warning
		if s.Late >= f.MaxAge {
			severity = Problem
		}
		found.add(severity, "delivery.scheduled", f.table("outbox_scheduled"),
			fmt.Sprintf("%s past %s time, the oldest by %s", counted(s.Due, "scheduled event")+" "+verb(s.Due, "is", "are"), verb(s.Due, "its", "their"), duration(s.Late)),
			"the relay that owns the source moves them when they are due: none does, or one of an older build", f.relay("status"))
	}
}

func backlog(f *Facts, found *findings) {
	b, table := f.Backlog, f.table(dialect.Events)
	if b == nil || b.Oldest == nil {
		return
	}
	waiting := counted(b.Waiting, "event")
	if b.More {
		waiting = "more than " + waiting
	}
	waiting += " " + verb(b.Waiting, "waits", "wait")
	o := b.Oldest
	what := fmt.Sprintf("%s; the oldest, row %d (event %s, topic %q), for %s", waiting, o.ID, o.EventID, o.Topic, duration(o.Age))
	why, do := f.whyLate()
	switch {
	case o.Age >= f.MaxAge:
		found.add(Problem, "delivery.late", table, what, why, do...)
	case o.Age >= f.MaxAge/5:
		found.add(Warning, "delivery.late", table, what, why, do...)
	default:
		found.add(Note, "delivery.backlog", table, what, "they are on their way", f.relay("status"))
	}
}

// whyLate names what most likely stands in the way.
func (f *Facts) whyLate() (why string, do []string) {
	l := f.Lease
	switch {
	case f.SinkErr != nil:
		return "the sink cannot be reached from here: see sink.unreachable", kafkaVersions(f)
	case l == nil:
		return "why, the lease row would tell, and it could not be read", []string{f.relay("status")}
	case l.Halted != "":
		return "the source is halted: see lease.halted", []string{f.run()}
	case l.Blind != "" && l.Left > 0:
		return "its owner cannot reach the sink: see lease.blind", []string{f.run()}
	case l.Owner == "" || l.Left <= 0:
		return "no relay owns the source: see lease.stopped", []string{f.run()}
	}
	return "a relay owns the source, so it is slower than the writers, or waits: for the broker (see the findings about topics), for the database, or after an error that its log tells",
		[]string{f.relay("status")}
}
