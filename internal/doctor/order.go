package doctor

import (
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// order finds what may break the order of a key, or lose or change rows.
func order(f *Facts, found *findings) {
	if s := f.Server; s != nil {
		if f.is(db.MySQL) && !strings.Contains(s.SQLMode, "STRICT_ALL_TABLES") && !strings.Contains(s.SQLMode,
			"STRICT_TRANS_TABLES") {
			mode := strings.Trim(s.SQLMode+",STRICT_TRANS_TABLES", ",")
			found.add(Warning, "order.sql-mode", "sql_mode",
				fmt.Sprintf("new sessions are not in strict mode: sql_mode is '%s'", s.SQLMode),
				"the server cuts a value that is too long instead of rejecting it. Two keys may become one, and a "+
					"payload may lose its end",
				"SET GLOBAL sql_mode = "+literal(mode)+";")
		}
		if s.Isolation != "" && s.Isolation != "read committed" {
			found.add(Problem, "order.isolation", f.Where, fmt.Sprintf("the isolation level of the relay's user is %s",
				s.Isolation),
				"the relay needs READ COMMITTED: an older snapshot hides later commits", f.readCommitted())
		}
	}
	intruders(f, found)
	found.add(Note, "order.writers", f.table(db.Events),
		"doctor cannot see whether the writers of a key wait for each other",
		"events of a key are delivered in the order of their commits if each writer first locks the row that the key "+
			"stands for (for example the order's row), or uses outbox.StrictKeyOrder",
		"grep -rn StrictKeyOrder .")
}

func (f *Facts) readCommitted() string {
	if f.is(db.PostgreSQL) {
		return "ALTER ROLE " + f.user() + " SET default_transaction_isolation = 'read committed';"
	}
	return "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED;"
}

func intruders(f *Facts, found *findings) {
	if f.Order == nil {
		return
	}
	for _, i := range f.Order.Intruders {
		table := f.table(i.Table)
		switch i.Kind {
		case "row security":
			severity, what := Warning, "row-level security is on, but does not apply to the relay's user"
			if i.Applies {
				severity, what = Problem, "row-level security is on, and applies to the relay's user"
			}
			found.add(severity, "order.row-security", table, what,
				"rows that a policy hides are not delivered, without any error",
				"ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY;")
		case "rule":
			found.add(Problem, "order.rule", table, fmt.Sprintf("the rule %s rewrites statements on this table",
				i.Name),
				"an INSERT or DELETE may do something else", fmt.Sprintf("DROP RULE %s ON %s;", i.Name, table))
		default:
			drop := "DROP TRIGGER " + i.Name
			if f.is(db.PostgreSQL) {
				drop += " ON " + table
			}
			found.add(Warning, "order.trigger", table, fmt.Sprintf("the trigger %s runs on this table", i.Name),
				"it may change an event, reject the relay's DELETE, or use a second id, and it slows down each writer",
				drop+";")
		}
	}
}
