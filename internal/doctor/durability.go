package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// lossy says why a setting that may lose commits is a problem.
const lossy = "a crash may undo committed transactions. Their undelivered events are lost with them, and their " +
	"delivered events belong to transactions that no longer exist"

// durability finds settings with which a crash may undo a commit.
func durability(f *Facts, found *findings) {
	d := f.Durability
	if d == nil {
		return
	}
	binlog := slices.ContainsFunc(d.Settings, func(s facts.Setting) bool { return s.Name == "log_bin" && yes(s.Value) })
	for _, s := range d.Settings {
		setting(f, s, binlog, found)
	}
	for _, name := range sorted(d.Tables) {
		table, do := f.table(name), "ALTER TABLE "+f.table(name)+" SET LOGGED;"
		if f.is(db.MySQL) {
			do = "ALTER TABLE " + table + " ENGINE = InnoDB;"
		}
		found.add(Problem, "durability.table", table, fmt.Sprintf("the table is %s", d.Tables[name]),
			"a crash may empty or damage it", do)
	}
}

func setting(f *Facts, s facts.Setting, binlog bool, found *findings) {
	bad := func(check, wanted string) {
		found.add(Problem, check, s.Name, fmt.Sprintf("%s is %s", s.Name, s.Value), lossy, wanted)
	}
	switch s.Name {
	case "synchronous_commit":
		synchronousCommit(f, s, found)
	case "fsync", "full_page_writes":
		if !yes(s.Value) {
			bad("durability."+strings.ReplaceAll(s.Name, "_", "-"), "ALTER SYSTEM SET "+s.Name+
				" = on; SELECT pg_reload_conf();")
		}
	case "innodb_flush_log_at_trx_commit":
		if s.Value != "1" {
			bad("durability.flush-log", "SET GLOBAL innodb_flush_log_at_trx_commit = 1;")
		}
	case "sync_binlog":
		if binlog && s.Value != "1" {
			bad("durability.sync-binlog", "SET GLOBAL sync_binlog = 1;")
		}
	case "innodb_doublewrite":
		if strings.EqualFold(s.Value, "OFF") || s.Value == "0" {
			bad("durability.doublewrite",
				"innodb_doublewrite = ON   # under [mysqld] in my.cnf, then restart the server")
		}
	case "journal_mode":
		if !strings.EqualFold(s.Value, "wal") {
			found.add(Warning, "durability.journal-mode", s.Name, fmt.Sprintf("journal_mode is %s", s.Value),
				"readers and writers wait for each other, and may fail with \"database is locked\". With memory or "+
					"off, a crash may damage the file", "PRAGMA journal_mode = WAL;")
		}
	case "synchronous":
		if s.Value == "0" || s.Value == "1" {
			bad("durability.synchronous", "PRAGMA synchronous = FULL;")
		}
	}
}

// synchronousCommit checks synchronous_commit. With off, a crash loses the last commits. With local and remote_write
// a failover loses them, so these are only a warning, and only if there is a standby.
func synchronousCommit(f *Facts, s facts.Setting, found *findings) {
	severity := Problem
	switch {
	case !yes(s.Value) && s.Value != "local" && s.Value != "remote_write" && s.Value != "remote_apply":
	case f.Durability.Standbys && (s.Value == "local" || s.Value == "remote_write"):
		severity = Warning
	default:
		return
	}
	whom, do := "all users", "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();"
	switch {
	case s.Role != "" && s.Database != "":
		whom, do = "role "+s.Role+" in database "+
			s.Database, fmt.Sprintf("ALTER ROLE %s IN DATABASE %s RESET synchronous_commit;", s.Role, s.Database)
	case s.Role != "":
		whom, do = "role "+s.Role, "ALTER ROLE "+s.Role+" RESET synchronous_commit;"
	case s.Database != "":
		whom, do = "database "+s.Database, "ALTER DATABASE "+s.Database+" RESET synchronous_commit;"
	}
	found.add(severity, "durability.synchronous-commit", "synchronous_commit",
		fmt.Sprintf("synchronous_commit is %s for %s", s.Value, whom), lossy, do)
}

func yes(value string) bool {
	switch strings.ToLower(value) {
	case "on", "true", "yes", "1":
		return true
	}
	return false
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
