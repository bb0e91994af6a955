package doctor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dialect"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

// CheckInbox is Check for the facts of a consumer's database.
func (f *Facts) CheckInbox() []Finding {
	found := findings{}
	for _, check := range []func(*Facts, *findings){
		reachInbox, inboxTables, inboxGrants, inboxParked, inboxBlocked, inboxWaits, inboxWindow, inboxAttempts,
		inboxBackfills, inboxDays, inboxVacuum, inboxOffsets, unanswered,
	} {
		check(f, &found)
	}
	found.accept(f.Ignore)
	found.sort()
	return found
}

func reachInbox(f *Facts, found *findings) {
	if f.OpenErr != nil {
		found.add(Problem, "database.unreachable", f.Where, short(f.OpenErr.Error()),
			"no consumer can use its inbox either, if it runs where you are", f.relay("inbox status"))
	}
	if f.SinkErr != nil {
		found.add(Problem, "sink.unreachable", f.At, short(f.SinkErr.Error()),
			"no consumer gets messages either, if it runs where you are. Check the address: "+
				"whether the groups are ahead of the database, as after a restore, was not looked at", kafkaVersions(f)...)
	}
}

func inboxTables(f *Facts, found *findings) {
	up, table := f.relay("migrate up")+" --only inbox", f.table(dialect.InboxEvents)
	switch {
	case errors.Is(f.Refused, migrations.ErrNotMigrated):
		found.add(Problem, "inbox.missing", table, short(f.Refused.Error()), "no message is accepted without them", up)
	case errors.Is(f.Refused, migrations.ErrTooOld):
		found.add(Problem, "inbox.old", table, short(f.Refused.Error()), "what needs the newer tables fails", up)
	case errors.Is(f.Refused, migrations.ErrTooNew):
		found.add(Problem, "inbox.new", table, short(f.Refused.Error()), "a consumer of this build may not work with them", "relay version")
	}
	for _, row := range f.Migrations {
		switch {
		case !row.Known:
			found.add(Note, "inbox.new", row.File, fmt.Sprintf("%s was applied by a newer build than this one", row.File),
				"this build works with it; run a newer one soon", "relay version")
		case !row.Applied:
			found.add(Warning, "inbox.pending", row.File, fmt.Sprintf("%s is not applied", row.File), "consumers work, but for what needs it", up)
		default:
			lost(f, row, found, "inbox.missing", f.relay("migrate print")+" --only inbox")
		}
	}
}

func inboxGrants(f *Facts, found *findings) {
	for _, g := range f.Grants {
		subject := g.On
		if f.Tables[g.On] {
			subject = f.table(g.On)
		}
		found.add(Problem, "inbox.grants", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right, subject),
			"a consumer that connects as this user fails when it needs it; an operator's user needs less: docs/tables.md", g.SQL)
	}
}

// consumers are those that something is known of.
func (f *Facts) consumers() []inboxstore.Consumer {
	if f.Inbox.Status == nil {
		return nil
	}
	return f.Inbox.Status.Consumers
}

// parkedSoon is how long a message that was asked for may wait for a consumer.
const parkedSoon = time.Minute

func inboxParked(f *Facts, found *findings) {
	for _, c := range f.consumers() {
		failed, blocked, asked := c.Parked[inboxstore.StateFailed], c.Parked[inboxstore.StateBlocked], c.Parked[inboxstore.StateRetry]+c.Parked[inboxstore.StateDrop]
		by := " --consumer " + c.Consumer
		if failed+blocked > 0 {
			more := ""
			if failed+blocked+asked >= db.CountLimit {
				more = "at least "
			}
			found.add(Problem, "inbox.parked", c.Consumer,
				fmt.Sprintf("%s; %s %s still; the oldest for %s", areParked(more, failed, blocked, "failed", "message"),
					counted(c.BlockedKeys, "key"), verb(c.BlockedKeys, "stands", "stand"), duration(c.ParkedAge)),
				"they have no effect until someone mends the cause and retries them, or drops them",
				f.relay("inbox parked list")+by, f.relay("inbox parked retry")+by+" --all")
		}
		if asked > 0 {
			severity, what := Note, fmt.Sprintf("%s %s for the consumer to be run again or dropped", counted(asked, "parked message"), verb(asked, "waits", "wait"))
			if c.ParkedAge > parkedSoon {
				severity = Warning
			}
			found.add(severity, "inbox.asked", c.Consumer, what,
				"a consumer does it within a second or so, if it runs and calls Replay (inboxkafka does by itself); retries that fail are failed again", f.relay("inbox parked list")+by)
		}
	}
}

func inboxBlocked(f *Facts, found *findings) {
	for _, k := range f.Inbox.Loose {
		if k.Seq == 0 {
			found.add(Problem, "inbox.blocked", k.Consumer, fmt.Sprintf("a key of topic %q stands still, and nothing of it is parked: were rows of %s deleted by hand?", k.Topic, f.table(dialect.InboxParked)),
				"every later message of the key is parked behind nothing",
				fmt.Sprintf("DELETE FROM %s WHERE consumer = %s AND topic = %s AND event_key = %s;", f.table(dialect.InboxBlocked), literal(k.Consumer), literal(k.Topic), literal(k.Key)))
			continue
		}
		if k.Head {
			found.add(Problem, "inbox.blocked", k.Consumer, fmt.Sprintf("message %d of topic %q waits, and is the first of its key: the row before it was deleted by hand, or by a consumer of an older build that was stopped", k.Seq, k.Topic),
				"it and every later message of the key stay parked", f.relay(fmt.Sprintf("inbox parked retry %d", k.Seq)))
			continue
		}
		found.add(Problem, "inbox.blocked", k.Consumer, fmt.Sprintf("message %d of topic %q waits behind its key, which does not stand still: were rows of %s deleted by hand?", k.Seq, k.Topic, f.table(dialect.InboxBlocked)),
			"later messages of the key overtake it, and it never follows by itself", f.relay(fmt.Sprintf("inbox parked retry %d", k.Seq)))
	}
}

// inboxWaits finds sessions that a consumer waits for: a member whose host is paused or gone keeps its locks.
func inboxWaits(f *Facts, found *findings) {
	limit := f.MaxAge / 30 // 10 s by default
	seen := map[int64]bool{}
	for _, w := range f.Inbox.Waits {
		if w.For < limit || seen[w.Holder.Session] {
			continue
		}
		seen[w.Holder.Session] = true
		found.add(Problem, "inbox.waits", f.table(dialect.InboxEvents), fmt.Sprintf("session %d has waited for %s for a lock on a table of the inbox that %s holds",
			w.Waiter, duration(w.For), w.Holder),
			"its partition stands still until that transaction ends. If it is of a consumer whose host is paused or gone, the server may "+
				"take hours to find out: docs/consumers.md says what limits that", w.Holder.End(f.Names.Dialect))
	}
}

// longWindow is a window that nobody wants, where the retention is not known.
const longWindow = 90 * 24 * time.Hour

func inboxWindow(f *Facts, found *findings) {
	for _, c := range f.consumers() {
		retention := f.Inbox.Retention
		if f.Inbox.Days != nil && f.Inbox.Days.Told[c.Consumer] > 0 {
			retention = f.Inbox.Days.Told[c.Consumer]
		}
		limit, whose := longWindow, "longer than any retention that was told: name yours by --retention"
		if retention > 0 {
			limit, whose = max(2*retention, retention+24*time.Hour), "the retention is "+duration(retention)
		}
		if c.Window > limit {
			found.add(Warning, "inbox.unpruned", c.Consumer, fmt.Sprintf("%s rows go back %s; %s", number(c.Rows), duration(c.Window), whose),
				"nobody prunes, or the group's committed offset keeps the rows: the table grows by every message",
				f.relay("inbox status")+" --consumer "+c.Consumer)
		}
		gone := retention > 0 && c.ParkedAge > retention || c.Rows > 0 && !c.Estimated && c.ParkedAge > c.Window+time.Minute
		if gone && !c.OldestParked.IsZero() {
			found.add(Warning, "inbox.retention", c.Consumer, fmt.Sprintf("a message is parked for %s, and rows are kept for less: its own is gone", duration(c.ParkedAge)),
				"a copy of it that comes again is applied, and the parked one too when it is retried",
				f.relay("inbox parked list")+" --consumer "+c.Consumer)
		}
	}
}

func inboxAttempts(f *Facts, found *findings) {
	limit := max(time.Hour, f.MaxAge)
	for _, c := range f.consumers() {
		if c.Attempts > 0 && c.OldestAttempt > limit {
			found.add(Warning, "inbox.attempts", c.Consumer, fmt.Sprintf("%s of %s; the oldest was begun %s ago, and is neither done nor parked",
				counted(c.Attempts, "row"), f.table(dialect.InboxAttempts), duration(c.OldestAttempt)),
				"a handler hangs, or its process died and the message did not come again: then the consumer's pruning (KeepPruned) forgets it a day after the attempt",
				fmt.Sprintf("SELECT * FROM %s WHERE consumer = %s ORDER BY started_at LIMIT 10;", f.table(dialect.InboxAttempts), literal(c.Consumer)))
		}
	}
}

func inboxBackfills(f *Facts, found *findings) {
	if f.Inbox.Status == nil {
		return
	}
	for _, b := range f.Inbox.Status.Backfills {
		if b.Age <= max(time.Hour, f.MaxAge) || !b.Sent.Valid {
			continue
		}
		found.add(Warning, "inbox.backfill", b.Replica, fmt.Sprintf("backfill %s, heard of %s ago, sent its end after %s, and not all of them have arrived", b.RunID, duration(b.Age), counted(b.Sent.Int64, "row")),
			"the replica is not known to be complete, and rows that the source no longer has stay", f.relay("inbox status"), f.relay("inbox parked list"))
	}
}

func inboxDays(f *Facts, found *findings) {
	d, table := f.Inbox.Days, f.table(dialect.InboxEvents)
	if d == nil {
		return
	}
	if d.Ahead < 1 {
		found.add(Warning, "inbox.days", table, "tomorrow has no partition", "its messages go to the default partition, and are deleted one by one: does KeepPruned run, as the table's owner?", f.relay("inbox prune"))
	}
	for _, day := range d.Overdue {
		reason := day.Reason
		if reason == "" {
			reason = "nobody needs a row of it any more"
		}
		found.add(Warning, "inbox.days", day.Day, fmt.Sprintf("the day is past every retention and is still there, with %s: %s", counted(day.Rows, "row"), reason),
			"the table grows; a consumer that is gone keeps the days that it has rows in", f.relay("inbox prune"))
	}
}

// inboxVacuum says whether the rows that are purged are removed.
func inboxVacuum(f *Facts, found *findings) {
	v := f.Vacuum
	if v == nil || !f.is(dialect.PostgreSQL) || v.Settings == nil {
		return
	}
	table := f.table(f.Inbox.VacuumTable)
	const why = "the space of purged rows is not used again, and the table grows"
	switch {
	case v.ServerWide != "":
		found.add(Problem, "inbox.vacuum", v.ServerWide, v.ServerWide+" is off, so the server removes nothing", why, "ALTER SYSTEM SET "+v.ServerWide+" = on; SELECT pg_reload_conf();")
	case !v.TableSwitch:
		found.add(Problem, "inbox.vacuum", table, "autovacuum is off for the table", why, "ALTER TABLE "+table+" RESET (autovacuum_enabled);")
	}
	if v.Dead >= max(10*v.Threshold, manyDead) && (v.Last < 0 || v.Last >= longWithout) {
		var kept []string
		for _, h := range v.HeldBack {
			kept = append(kept, h.Kind+" "+h.Name)
		}
		what := fmt.Sprintf("%s dead rows, %s live ones, and no vacuum lately", number(v.Dead), number(v.Live))
		if kept != nil {
			what += "; kept by " + strings.Join(kept, ", ")
		}
		found.add(Warning, "inbox.vacuum", table, what, why+". If VACUUM does not help, an old transaction, a slot or a standby keeps them", "VACUUM (ANALYZE, VERBOSE) "+table+";")
	}
}
