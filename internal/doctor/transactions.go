package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// lockPatience is the longest normal time for holding a lock on the tables, or waiting for one.
const lockPatience = 5 * time.Second

// transactions finds transactions that block writers, the relay or vacuum. Those that hold the outbox come first.
func transactions(f *Facts, found *findings) {
	if f.is(db.SQLite) {
		found.add(Note, "transactions.busy-timeout", f.Where,
			"doctor cannot see whether the writers' connections have a busy timeout",
			"SQLite has one writer at a time, and the relay is one of them. A connection without a timeout fails "+
				"with \"database is locked\". A transaction that reads before it writes may fail too, unless it "+
				"begins with BEGIN IMMEDIATE",
			"PRAGMA busy_timeout = 10000;")
	}
	if f.Transactions == nil {
		return
	}
	for _, t := range f.Transactions.Open {
		if t.Locks != "" && (t.Age >= lockPatience || t.Age == 0) {
			locks(f, t, found)
		}
	}
	for _, t := range f.Transactions.Open {
		if t.Locks == "" && t.Writes && t.Prepared == "" && t.PID != 0 && t.Age >= f.MaxAge/5 {
			found.add(f.old(t.Age, Problem), "transactions.writer", session(t), describe(t)+": it has written, and it "+
				f.holds(),
				"events of its keys wait for it, the relay asks for its ids in every read, and vacuum cannot remove "+
					"later deleted rows", f.end(t))
		}
	}
	for _, t := range f.Transactions.Open {
		if t.Prepared != "" || t.PID == 0 {
			prepared(f, t, found)
		}
	}
	for _, t := range f.Transactions.Open {
		if t.Locks == "" && !t.Writes && t.Prepared == "" && t.PID != 0 && t.Age >= f.MaxAge {
			found.add(Warning, "transactions.old", session(t), describe(t)+", in the source's database",
				"rows that were deleted after its begin cannot be removed, so reads of the table get slower", f.end(t))
		}
	}
}

// old returns worst past the limit, and a warning before.
func (f *Facts) old(age time.Duration, worst Severity) Severity {
	if age >= f.MaxAge {
		return worst
	}
	return Warning
}

func (f *Facts) holds() string {
	if f.is(db.PostgreSQL) {
		return "holds " + f.table(db.Events)
	}
	return "may hold ids of " + f.table(db.Events)
}

func locks(f *Facts, t facts.Transaction, found *findings) {
	severity, does, why := Problem, "holds", "writers and the relay wait for it"
	if t.Age == 0 {
		severity, why = Warning, why+". The server does not tell this user how old it is; it may end in a moment"
	}
	if t.Waiting {
		does, why = "waits for", "other statements on the table wait behind it. The other findings show what it "+
			"waits for"
	}
	lock := t.Locks
	if table, mode, ok := strings.Cut(t.Locks, ": "); ok {
		lock = mode + " on " + table
		if mode == "rows" {
			lock, why = "rows of "+table+", by SELECT … FOR UPDATE or SHARE", "the relay cannot delete them after "+
				"their delivery. It keeps them in memory, where they take room from other events"
		}
	}
	found.add(severity, "transactions.lock", session(t), fmt.Sprintf("%s: it %s %s", describe(t), does, lock), why,
		f.end(t))
}

func prepared(f *Facts, t facts.Transaction, found *findings) {
	severity := Warning
	if t.Writes && t.Age >= f.MaxAge {
		severity = Problem
	}
	if !t.Writes && t.Age < f.MaxAge || t.Age < f.MaxAge/5 {
		return
	}
	holds := ""
	if t.Writes {
		holds = ", and " + f.holds()
	}
	const why = "it holds its locks and ids until you end it, even after a restart. First ask the transaction " +
		"manager how it decided"
	if f.is(db.MySQL) {
		var do []string
		for _, xid := range strings.Fields(t.Prepared) {
			do = append(do, "XA COMMIT "+xid+"; -- or XA ROLLBACK "+xid+";")
		}
		if do == nil {
			do = []string{"XA RECOVER FORMAT='SQL';"}
		}
		found.add(severity, "transactions.prepared", "XA",
			fmt.Sprintf("a prepared transaction without a session is open for %s%s", duration(t.Age),
				holds), why, do...)
		return
	}
	id := literal(t.Prepared)
	found.add(severity, "transactions.prepared", t.Prepared,
		fmt.Sprintf("transaction %s of user %s was prepared %s ago%s", id, t.User, duration(t.Age), holds), why,
		"COMMIT PREPARED "+id+"; -- or ROLLBACK PREPARED "+id+";")
}

func session(t facts.Transaction) string { return fmt.Sprintf("session %d", t.PID) }

// describe says whose transaction it is. It never shows the statement, which may contain data.
func describe(t facts.Transaction) string {
	var b strings.Builder
	fmt.Fprintf(&b, "session %d (user %s", t.PID, t.User)
	if t.Application != "" {
		fmt.Fprintf(&b, ", application %q", t.Application)
	}
	if t.Client != "" {
		fmt.Fprintf(&b, ", from %s", t.Client)
	}
	b.WriteString(")")
	if t.Age > 0 {
		fmt.Fprintf(&b, " has a transaction open for %s", duration(t.Age))
	}
	if !t.Started.IsZero() {
		fmt.Fprintf(&b, " (since %s)", moment(t.Started))
	}
	if t.State != "" {
		fmt.Fprintf(&b, ", %s", t.State)
	}
	switch {
	case !t.QueryStart.IsZero():
		fmt.Fprintf(&b, ", last statement begun %s (%s ago)", moment(t.QueryStart), duration(t.QueryAge))
	case t.QueryAge > 0:
		fmt.Fprintf(&b, " for %s", duration(t.QueryAge))
	}
	return b.String()
}

// end returns the statement that ends a session.
func (f *Facts) end(t facts.Transaction) string {
	if f.is(db.MySQL) {
		return fmt.Sprintf("KILL %d;", t.PID)
	}
	return fmt.Sprintf("SELECT pg_terminate_backend(%d);", t.PID)
}
