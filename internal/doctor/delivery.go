package doctor

import (
	"fmt"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/ops"
)

// delivery finds events that are late.
func delivery(f *Facts, found *findings) {
	backlog(f, found)
	if s := f.Scheduled; s != nil && s.Late >= f.MaxAge/5 {
		severity := Warning
		if s.Late >= f.MaxAge {
			severity = Problem
		}
		found.add(severity, "delivery.scheduled", f.table("outbox_scheduled"),
			fmt.Sprintf("%s past %s time, the oldest by %s", counted(s.Due, "scheduled event")+" "+
				verb(s.Due, "is", "are"), verb(s.Due, "its", "their"), duration(s.Late)),
			"the relay that owns the source moves them at their time: no relay owns it, or a relay of an older build "+
				"does", f.relay("status"))
	}
}

func backlog(f *Facts, found *findings) {
	b, table := f.Backlog, f.table(db.Events)
	if b == nil || b.Oldest == nil {
		return
	}
	waiting := counted(b.Waiting, "event")
	if b.More {
		waiting = "more than " + waiting
	}
	waiting += " " + verb(b.Waiting, "waits", "wait")
	o := b.Oldest
	what := fmt.Sprintf("%s; the oldest, row %d (event %s, topic %q), for %s", waiting, o.ID, o.EventID, o.Topic,
		duration(o.Age))
	why, do := f.whyLate()
	switch {
	case o.Age >= f.MaxAge:
		found.add(Problem, "delivery.late", table, what, why, do...)
	case o.Age >= f.MaxAge/5:
		found.add(Warning, "delivery.late", table, what, why, do...)
	default:
		found.add(Note, "delivery.backlog", table, what, "the relay delivers them", f.relay("status"))
	}
}

// whyLate names the most likely reason why events are late, and what to do.
func (f *Facts) whyLate() (why string, do []string) {
	l := f.Lease
	switch {
	case f.SinkErr != nil:
		return "the sink cannot be reached from here: see sink.unreachable", kafkaVersions(f)
	case l == nil:
		return "the reason is in the lease row, which could not be read", []string{f.relay("status")}
	case l.Halted != "":
		return "the source is halted: see lease.halted", []string{f.run()}
	case l.Blind != "" && l.Left > 0:
		return "its owner cannot reach the sink: see lease.blind", []string{f.run()}
	case l.Owner == "" || l.Left <= 0:
		return "no relay owns the source: see lease.stopped", []string{f.run()}
	}
	return "a relay owns the source. It is slower than the writers, or it waits: for the broker (see the findings " +
			"about topics), for the database, or after an error that is in its log",
		[]string{f.relay("status")}
}

// areParked says how many rows are parked: those that failed, and those that wait behind them.
func areParked(more string, failed, blocked int64, failure, noun string) string {
	switch {
	case failed == 0:
		return more + counted(blocked, noun) + " " + verb(blocked, "is", "are") + " parked behind an earlier one of " +
			verb(blocked, "its key", "their keys")
	case blocked == 0:
		return more + counted(failed, failure+" "+noun) + " " + verb(failed, "is", "are") + " parked"
	}
	return more + counted(failed, failure+" "+noun) + " and " + counted(blocked, "later one") + " behind " +
		verb(failed, "it", "them") + " are parked"
}

// parked finds parked events.
func parked(f *Facts, found *findings) {
	p, table := f.Parked, f.table(db.Parked)
	if p == nil {
		return
	}
	if p.Failed+p.Blocked > 0 {
		more := ""
		if p.More {
			more = "more than "
		}
		what := fmt.Sprintf("%s, of %s, for %s", areParked(more, p.Failed, p.Blocked, "rejected", "event"),
			counted(p.Keys, "key"), duration(p.Age))
		do := []string{f.relay("parked list")}
		if o := p.Oldest; o != nil {
			what += fmt.Sprintf("; the oldest, event %s in topic %q: %s", o.EventID, o.Topic, short(o.Error))
			retry := "parked retry " + o.EventID
			if p.Failed > 1 {
				retry = "parked retry --topic " + ops.ShellWord(o.Topic)
			}
			do = append(do, f.relay("parked show "+o.EventID), f.relay(retry))
		}
		found.add(Problem, "parked.failed", table, what,
			"they are not delivered until you fix the cause and retry them, or drop them", do...)
	}
	if p.Asked > 0 {
		found.add(Note, "parked.asked", table, fmt.Sprintf("%s %s marked for retry or drop",
			counted(p.Asked, "parked event"), verb(p.Asked, "is", "are")),
			"the relay that owns the source does it within seconds. If it does not, see the findings about the lease",
			f.relay("parked list"))
	}
}
