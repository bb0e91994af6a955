package doctor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/ops"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

// CheckInbox runs all checks of a consumer's database on the facts and returns the findings, the worst first.
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
			"a consumer on this host cannot use its inbox either", f.relay("inbox status"))
	}
	if f.SinkErr != nil {
		found.add(Problem, "sink.unreachable", f.At, short(f.SinkErr.Error()),
			"a consumer on this host gets no messages either. Check the address. "+
				"doctor did not check whether the groups are ahead of the database, as after a restore",
			kafkaVersions(f)...)
	}
}

func inboxTables(f *Facts, found *findings) {
	up, table := f.relay("migrate up")+" --only inbox", f.table(db.InboxEvents)
	switch {
	case errors.Is(f.Unusable, migrations.ErrNotMigrated):
		found.add(Problem, "inbox.missing", table, short(f.Unusable.Error()),
			"consumers do not work without these tables", up)
	case errors.Is(f.Unusable, migrations.ErrTooOld):
		found.add(Problem, "inbox.old", table, short(f.Unusable.Error()),
			"everything that needs the newer tables fails", up)
	case errors.Is(f.Unusable, migrations.ErrTooNew):
		found.add(Problem, "inbox.new", table, short(f.Unusable.Error()),
			"a consumer of this build may not work with them", "relay version")
	}
	for _, row := range f.Migrations {
		switch {
		case !row.Known:
			found.add(Note, "inbox.new", row.File, fmt.Sprintf("%s was applied by a newer build than this one",
				row.File),
				"this build works with it. Update this build soon", "relay version")
		case !row.Applied:
			found.add(Warning, "inbox.pending", row.File, fmt.Sprintf("%s is not applied", row.File),
				"consumers work, but without the features that need it", up)
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
		found.add(Problem, "inbox.grants", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right,
			subject),
			"a consumer that connects as this user fails when it needs the right. The user of an operator needs "+
				"less, see docs/tables.md", g.SQL)
	}
}

// consumers returns the consumers that have rows in the tables.
func (f *Facts) consumers() []inboxstore.Consumer {
	if f.Inbox.Status == nil {
		return nil
	}
	return f.Inbox.Status.Consumers
}

// markedFor is how long a message that is marked for retry or drop may wait for a consumer.
const markedFor = time.Minute

func inboxParked(f *Facts, found *findings) {
	for _, c := range f.consumers() {
		failed, blocked := c.Parked[db.ParkedFailed], c.Parked[db.ParkedBlocked]
		marked := c.Parked[db.ParkedRetry] + c.Parked[db.ParkedDrop]
		by := " --consumer " + ops.ShellWord(c.Consumer)
		list := f.relay("inbox parked list") + by
		if failed > 0 || blocked > 0 && marked == 0 {
			more, do := "", []string{list}
			if failed+blocked+marked >= db.CountLimit {
				more = "at least "
			}
			if failed > 0 {
				do = append(do, f.relay("inbox parked retry")+by+" --all")
			}
			found.add(Problem, "inbox.parked", c.Consumer, fmt.Sprintf("%s; %s %s blocked; the oldest is parked for %s",
				areParked(more, failed, blocked, "failed", "message"), counted(c.BlockedKeys, "key"),
				verb(c.BlockedKeys, "is", "are"),
				duration(max(c.ParkedAges[db.ParkedFailed], c.ParkedAges[db.ParkedBlocked]))),
				"they have no effect until you fix the cause and retry them, or drop them", do...)
		}
		if marked > 0 {
			severity := Note
			if max(c.ParkedAges[db.ParkedRetry], c.ParkedAges[db.ParkedDrop]) > markedFor {
				severity = Warning
			}
			what := fmt.Sprintf("%s %s marked for retry or drop", counted(marked, "parked message"), verb(marked, "is",
				"are"))
			if failed == 0 && blocked > 0 {
				what += fmt.Sprintf("; %s %s behind", counted(blocked, "later one"), verb(blocked, "waits", "wait"))
			}
			found.add(severity, "inbox.asked", c.Consumer, what,
				"a running consumer that calls Replay does it within about a "+
					"second (inboxkafka calls it). A retry that fails makes the message failed again", list)
		}
	}
}

func inboxBlocked(f *Facts, found *findings) {
	for _, k := range f.Inbox.Loose {
		retry := f.relay(fmt.Sprintf("inbox parked retry %d", k.Seq))
		switch {
		case k.Seq == 0:
			found.add(Problem, "inbox.blocked", k.Consumer,
				fmt.Sprintf("a key of topic %q is blocked, but no message of it "+
					"is parked: perhaps somebody deleted rows of %s", k.Topic, f.table(db.InboxParked)),
				"every later message of the key is parked, and nothing unblocks the key",
				fmt.Sprintf("DELETE FROM %s WHERE consumer = %s AND topic = %s AND event_key = %s;",
					f.table(db.InboxBlocked), literal(k.Consumer), literal(k.Topic), literal(k.Key)))
		case k.Head:
			found.add(Problem, "inbox.blocked", k.Consumer,
				fmt.Sprintf("message %d of topic %q is blocked, but it is the "+
					"first of its key: somebody deleted the row before it, or a consumer of an older build was stopped",
					k.Seq, k.Topic), "this message and every later message of the key stay parked", retry)
		default:
			found.add(Problem, "inbox.blocked", k.Consumer,
				fmt.Sprintf("message %d of topic %q waits for its key, but the key "+
					"is not blocked: perhaps somebody deleted rows of %s", k.Seq, k.Topic,
					f.table(db.InboxBlocked)),
				"later messages of the key overtake it, and it is not retried", retry)
		}
	}
}

// inboxWaits finds sessions that block a consumer. A consumer whose host is paused or has failed keeps its locks.
func inboxWaits(f *Facts, found *findings) {
	limit := f.MaxAge / 30 // 10 s by default
	seen := map[int64]bool{}
	for _, w := range f.Inbox.Waits {
		if w.For < limit || seen[w.Holder.Session] {
			continue
		}
		seen[w.Holder.Session] = true
		found.add(Problem, "inbox.waits", f.table(db.InboxEvents),
			fmt.Sprintf("session %d has waited for %s for a lock on a table of the inbox that %s holds",
				w.Waiter, duration(w.For), w.Holder),
			"its partition waits until that transaction ends. If the host of that consumer is paused or has failed, "+
				"the server may "+
				"need hours to notice; docs/consumers.md says how to limit that", w.Holder.End(f.Names.Dialect))
	}
}

// longWindow is the age of rows that is too long if the retention is not known.
const longWindow = 90 * 24 * time.Hour

func inboxWindow(f *Facts, found *findings) {
	for _, c := range f.consumers() {
		retention := f.Inbox.Retention
		if f.Inbox.Days != nil && f.Inbox.Days.Told[c.Consumer] > 0 {
			retention = f.Inbox.Days.Told[c.Consumer]
		}
		limit, whose := longWindow, "pass the retention of the consumers with --retention"
		if retention > 0 {
			limit, whose = max(2*retention, retention+24*time.Hour), "the retention is "+duration(retention)
		}
		if c.Window > limit {
			found.add(Warning, "inbox.unpruned", c.Consumer, fmt.Sprintf("%s rows go back %s; %s", number(c.Rows),
				duration(c.Window), whose),
				"no consumer prunes, or the group's committed offset keeps the rows. The table grows with each message",
				f.relay("inbox status")+" --consumer "+c.Consumer)
		}
		gone := retention > 0 && c.ParkedAge > retention || c.Rows > 0 && !c.Estimated &&
			c.ParkedAge > c.Window+time.Minute
		if gone && !c.OldestParked.IsZero() {
			found.add(Warning, "inbox.retention", c.Consumer,
				fmt.Sprintf("a message is parked for %s, which is longer than the inbox keeps its rows",
					duration(c.ParkedAge)),
				"the inbox no longer recognises a duplicate of it. A duplicate is applied, and so is the parked "+
					"message when it is retried",
				f.relay("inbox parked list")+" --consumer "+c.Consumer)
		}
	}
}

func inboxAttempts(f *Facts, found *findings) {
	limit := max(time.Hour, f.MaxAge)
	for _, c := range f.consumers() {
		if c.Attempts > 0 && c.OldestAttempt > limit {
			found.add(Warning, "inbox.attempts", c.Consumer, fmt.Sprintf("%s of %s; the oldest attempt began %s ago, "+
				"and the message is neither handled nor parked",
				counted(c.Attempts, "row"), f.table(db.InboxAttempts), duration(c.OldestAttempt)),
				"a handler hangs, or its process has died and the message did not come again. In the second case "+
					"KeepPruned deletes the row a day after the attempt",
				fmt.Sprintf("SELECT * FROM %s WHERE consumer = %s ORDER BY started_at LIMIT 10;",
					f.table(db.InboxAttempts), literal(c.Consumer)))
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
		found.add(Warning, "inbox.backfill", b.Replica, fmt.Sprintf("backfill %s sent its end marker after %s, and "+
			"not all of them have arrived; the last message came %s ago", b.RunID, counted(b.Sent.Int64,
			"row"), duration(b.Age)),
			"the replica may be incomplete, and it keeps rows that the source no longer has", f.relay("inbox status"),
			f.relay("inbox parked list"))
	}
}

func inboxDays(f *Facts, found *findings) {
	d, table := f.Inbox.Days, f.table(db.InboxEvents)
	if d == nil {
		return
	}
	if d.Ahead < 1 {
		found.add(Warning, "inbox.days", table, "tomorrow has no partition", "its messages go to the default "+
			"partition, whose rows are deleted one by one. KeepPruned creates partitions only if it runs as the "+
			"table's owner", f.relay("inbox prune"))
	}
	for _, day := range d.Overdue {
		reason := day.Reason
		if reason == "" {
			reason = "no consumer needs its rows any more"
		}
		found.add(Warning, "inbox.days", day.Day,
			fmt.Sprintf("the day is older than every retention but still exists, with %s: %s", counted(day.Rows, "row"),
				reason),
			"the table grows. A consumer that no longer runs keeps the days in which it has rows",
			f.relay("inbox prune"))
	}
}

// inboxVacuum finds deleted rows that the server does not remove.
func inboxVacuum(f *Facts, found *findings) {
	v := f.Vacuum
	if v == nil || !f.is(db.PostgreSQL) || v.Settings == nil {
		return
	}
	table := f.table(f.Inbox.VacuumTable)
	const why = "the space of deleted rows is not used again, and the table grows"
	switch {
	case v.ServerWide != "":
		found.add(Problem, "inbox.vacuum", v.ServerWide, v.ServerWide+" is off, so the server removes no deleted rows",
			why, "ALTER SYSTEM SET "+v.ServerWide+" = on; SELECT pg_reload_conf();")
	case !v.TableSwitch:
		found.add(Problem, "inbox.vacuum", table, "autovacuum is off for the table", why, "ALTER TABLE "+table+
			" RESET (autovacuum_enabled);")
	}
	if v.Dead >= max(10*v.Threshold, manyDead) && (v.Last < 0 || v.Last >= longWithout) {
		var kept []string
		for _, h := range v.HeldBack {
			kept = append(kept, h.Kind+" "+h.Name)
		}
		what := fmt.Sprintf("%s dead rows and %s live rows, but no recent vacuum", number(v.Dead), number(v.Live))
		if kept != nil {
			what += "; kept by " + strings.Join(kept, ", ")
		}
		found.add(Warning, "inbox.vacuum", table, what, why+". If VACUUM does not help, an old transaction, a "+
			"replication slot or a standby keeps them", "VACUUM (ANALYZE, VERBOSE) "+table+";")
	}
}
