package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// longHistory is a number of row versions that a busy server does not reach between two purges.
const longHistory = 1_000_000

// A busy relay leaves manyDead rows within a second. They are a problem only if vacuum has not run for longWithout;
// the server looks for work every minute.
const (
	manyDead    = 50_000
	longWithout = 10 * time.Minute
	oldHorizon  = 10_000 // transactions
)

// vacuum finds deleted rows that the server does not remove.
func vacuum(f *Facts, found *findings) {
	v, table := f.Vacuum, f.table(db.Events)
	if v == nil {
		return
	}
	const why = "each read passes over deleted rows that are not removed, and gets slower with their number"
	if v.History >= longHistory {
		found.add(Warning, "vacuum.history", "InnoDB", fmt.Sprintf("%s old row versions are not removed yet",
			number(v.History)), why+". Usually an old transaction keeps them",
			"SELECT * FROM information_schema.innodb_trx ORDER BY trx_started LIMIT 3;")
	}
	if !f.is(db.PostgreSQL) || v.Settings == nil {
		return
	}
	switch {
	case v.ServerWide != "":
		found.add(Problem, "vacuum.off", v.ServerWide, v.ServerWide+" is off, so the server removes no deleted rows",
			why, "ALTER SYSTEM SET "+v.ServerWide+" = on; SELECT pg_reload_conf();")
	case !v.TableSwitch:
		found.add(Problem, "vacuum.off", table, "autovacuum is off for the table", why, "ALTER TABLE "+table+
			" RESET (autovacuum_enabled);")
	}
	settings(f, found)
	many := v.Dead >= max(10*v.Threshold, manyDead)
	if keeps, do := keeper(f); many && v.Last >= 0 && v.Last < longWithout && keeps != "" {
		found.add(Warning, "vacuum.dead", table, fmt.Sprintf("%s dead rows and %s live rows. The last vacuum, %s "+
			"ago, could not remove the dead ones: %s",
			number(v.Dead), number(v.Live), duration(v.Last), keeps), why, do)
	}
	if many && (v.Last < 0 || v.Last >= longWithout) {
		last := "it has never run"
		if v.Last >= 0 {
			last = "it ran " + duration(v.Last) + " ago"
		}
		found.add(Warning, "vacuum.dead", table, fmt.Sprintf("%s dead rows and %s live rows, but no recent vacuum: %s",
			number(v.Dead), number(v.Live), last),
			why+". If VACUUM does not help, an old transaction, a replication slot or a standby keeps them",
			"VACUUM (ANALYZE, VERBOSE) "+table+";")
	}
	for _, h := range v.HeldBack {
		found.add(Note, "vacuum.held", h.Kind+" "+h.Name,
			fmt.Sprintf("the %s %s keeps rows that were deleted up to %s transactions ago", h.Kind, h.Name,
				number(h.Age)), why, letGo(h))
	}
}

// keeper returns what kept the last vacuum from removing deleted rows, and what ends it. If there is nothing, many
// dead rows only mean a busy minute.
func keeper(f *Facts) (what, do string) {
	v := f.Vacuum
	if v.OldestAge > v.Last {
		return fmt.Sprintf("%s has an older transaction open, for %s", v.Oldest, duration(v.OldestAge)),
			"SELECT pid, usename, application_name, state, xact_start FROM pg_stat_activity WHERE " +
				"coalesce(backend_xmin, backend_xid) IS NOT NULL ORDER BY xact_start LIMIT 3; -- and end the oldest; " +
				"prepared ones: SELECT * FROM pg_prepared_xacts;"
	}
	for _, h := range v.HeldBack {
		if h.Age >= oldHorizon {
			return fmt.Sprintf("the %s %s keeps rows that were deleted up to %s transactions ago", h.Kind, h.Name,
				number(h.Age)), letGo(h)
		}
	}
	return "", ""
}

// letGo returns the statement that ends what keeps dead rows, if it is not a transaction.
func letGo(h facts.Horizon) string {
	if h.Kind == "standby" {
		return "ALTER SYSTEM SET hot_standby_feedback = off; -- on the standby"
	}
	return "SELECT pg_drop_replication_slot(" + literal(h.Name) + "); -- if nobody needs it any more"
}

// settings compares the table's settings with the migration's.
func settings(f *Facts, found *findings) {
	wanted := facts.QueueSettings()
	var differ, set []string
	for _, name := range sorted(wanted) {
		has, ok := f.Vacuum.Settings[name]
		if ok && facts.SameSetting(has, wanted[name]) {
			continue
		}
		if !ok {
			has = "not set"
		}
		differ = append(differ, fmt.Sprintf("%s is %s", name, has))
		set = append(set, name+" = "+wanted[name])
	}
	if differ == nil {
		return
	}
	table := f.table(db.Events)
	found.add(Warning, "vacuum.settings", table, "settings differ from those of the migration: "+strings.Join(differ,
		", "),
		"with PostgreSQL's defaults autovacuum waits until a share of the table is dead. After one large backlog, "+
			"reads stay slow",
		"ALTER TABLE "+table+" SET ("+strings.Join(set, ", ")+");")
}
