package doctor

import (
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/dialect"
)

// order says what puts the order of a key, or whole rows, at risk.
func order(f *Facts, found *findings) {
	if s := f.Server; s != nil {
		if f.is(dialect.MySQL) && !strings.Contains(s.SQLMode, "STRICT_ALL_TABLES") && !strings.Contains(s.SQLMode, "STRICT_TRANS_TABLES") {
			mode := strings.Trim(s.SQLMode+",STRICT_TRANS_TABLES", ",")
			found.add(Warning, "order.sql-mode", "sql_mode", fmt.Sprintf("new sessions are not strict: sql_mode is '%s'", s.SQLMode),
				"the server cuts a value that is too long instead of refusing it: two keys may become one, and a payload may lose its end",
				"SET GLOBAL sql_mode = "+literal(mode)+";")
		}
		if s.Isolation != "" && s.Isolation != "read committed" {
			found.add(Problem, "order.isolation", f.Where, fmt.Sprintf("transactions of the relay's user are %s", s.Isolation),
				"the relay reads in READ COMMITTED: an older snapshot hides what was committed since", f.readCommitted())
		}
	}
	intruders(f, found)
	found.add(Note, "order.writers", f.table(dialect.Events), "whether the writers of a key are serialised cannot be seen from here",
		"events of a key are delivered in the order of their commits if each writer locks what the key stands for first (the order's row, say), or uses outbox.StrictKeyOrder",
		"grep -rn StrictKeyOrder .")
}

func (f *Facts) readCommitted() string {
	if f.is(dialect.PostgreSQL) {
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
			severity, what := Warning, "row-level security is on; it does not apply to the relay's user"
			if i.Applies {
				severity, what = Problem, "row-level security is on, and applies to the relay's user"
			}
			found.add(severity, "order.row-security", table, what, "rows that a policy hides are not delivered, and nobody is told",
				"ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY;")
		case "rule":
			found.add(Problem, "order.rule", table, fmt.Sprintf("the rule %s rewrites statements on it", i.Name),
				"an INSERT or DELETE may do something else than it says", fmt.Sprintf("DROP RULE %s ON %s;", i.Name, table))
		default:
			drop := "DROP TRIGGER " + i.Name
			if f.is(dialect.PostgreSQL) {
				drop += " ON " + table
			}
			found.add(Warning, "order.trigger", table, fmt.Sprintf("the trigger %s runs on it", i.Name),
				"it may change an event, refuse the relay's delete, or take a second id; each writer pays for it", drop+";")
		}
	}
}
