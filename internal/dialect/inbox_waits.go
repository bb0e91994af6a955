package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// LockWait is a session that waits for a lock on a table of the inbox, and one that holds it, or waits for it before it.
type LockWait struct {
	Waiter int64
	For    time.Duration
	Holder LockHolder
}

// LockHolder is a session that others wait for.
type LockHolder struct {
	Session int64         // 0: none; a prepared transaction
	User    string        // and the rest: "" where the server does not tell
	Name    string        // of the application
	Host    string        // that it is connected from
	State   string        // as the server calls it
	Age     time.Duration // of its transaction
}

// String says who it is, for people.
func (h LockHolder) String() string {
	if h.Session == 0 {
		return "a prepared transaction"
	}
	var about []string
	for _, part := range []struct{ name, value string }{{"user", h.User}, {"application", h.Name}, {"from", h.Host}} {
		if part.value != "" {
			about = append(about, part.name+" "+part.value)
		}
	}
	if h.State != "" {
		about = append(about, h.State)
	}
	about = append(about, "its transaction begun "+h.Age.Round(time.Second).String()+" ago")
	return fmt.Sprintf("session %d (%s)", h.Session, strings.Join(about, ", "))
}

// End is the statement that ends it.
func (h LockHolder) End(d Dialect) string {
	switch {
	case h.Session == 0 && d == PostgreSQL:
		return "SELECT * FROM pg_prepared_xacts; -- then ROLLBACK PREPARED or COMMIT PREPARED"
	case h.Session == 0:
		return "XA RECOVER; -- then XA ROLLBACK or XA COMMIT"
	case d == PostgreSQL:
		return fmt.Sprintf("SELECT pg_terminate_backend(%d);", h.Session)
	}
	return fmt.Sprintf("KILL %d;", h.Session)
}

// A session's text tells which table it waits for: what it waits for in the server's own tables is most often the other
// transaction as such.
const (
	lockWaitsPostgres = `SELECT w.pid, (extract(epoch FROM clock_timestamp() - w.query_start) * 1000000)::bigint, b.pid,
  COALESCE(a.usename, ''), COALESCE(a.application_name, ''), COALESCE(host(a.client_addr), ''), COALESCE(a.state, ''),
  COALESCE((extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::bigint, 0)
FROM pg_stat_activity AS w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid) LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND (position($1::text IN w.query) > 0 OR position($2::text IN w.query) > 0 OR position($3::text IN w.query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20`

	lockWaitsMySQL = `SELECT r.trx_mysql_thread_id, TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)), b.trx_mysql_thread_id,
  COALESCE(p.user, ''), '', COALESCE(p.host, ''), COALESCE(p.command, ''), TIMESTAMPDIFF(MICROSECOND, b.trx_started, NOW(6))
FROM %s AS w JOIN information_schema.innodb_trx AS r ON r.trx_id = w.%s JOIN information_schema.innodb_trx AS b ON b.trx_id = w.%s
JOIN information_schema.processlist AS q ON q.id = r.trx_mysql_thread_id LEFT JOIN information_schema.processlist AS p ON p.id = b.trx_mysql_thread_id
WHERE q.db = DATABASE() AND (LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20`
)

// InboxLockWaits lists sessions that wait for a lock on the tables where consumers wait for one another, the longest first. On
// PostgreSQL it sees those of the caller's own user, or all with pg_read_all_stats; MySQL wants the right PROCESS. SQLite
// has none: its writers are turned away.
func InboxLockWaits(ctx context.Context, db Queryer, n Names) (waits []LockWait, err error) {
	tables := []any{n.Table(InboxEvents), n.Table(InboxOffsets), n.Table(InboxBlocked)}
	queries := []string{lockWaitsPostgres}
	switch n.Dialect {
	case SQLite:
		return nil, nil
	case MySQL: // MariaDB's, and that of MySQL 8
		queries = []string{
			fmt.Sprintf(lockWaitsMySQL, "information_schema.innodb_lock_waits", "requesting_trx_id", "blocking_trx_id"),
			fmt.Sprintf(lockWaitsMySQL, "performance_schema.data_lock_waits", "requesting_engine_transaction_id", "blocking_engine_transaction_id"),
		}
	}
	for _, query := range queries {
		if waits, err = readLockWaits(ctx, db, query, tables...); err == nil || IsDenied(err) {
			break
		}
	}
	return waits, err
}

func readLockWaits(ctx context.Context, db Queryer, query string, args ...any) (waits []LockWait, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w LockWait
		var waiting, age sql.NullInt64
		h := &w.Holder
		if err := rows.Scan(&w.Waiter, &waiting, &h.Session, &h.User, &h.Name, &h.Host, &h.State, &age); err != nil {
			return nil, err
		}
		w.For, h.Age = micros(waiting), micros(age)
		waits = append(waits, w)
	}
	return waits, rows.Err()
}

// LockWaits lists sessions that wait for a lock on inbox_events, inbox_offsets or inbox_blocked, the longest first.
func (i *Inbox) LockWaits(ctx context.Context, db Queryer) ([]LockWait, error) {
	return InboxLockWaits(ctx, db, i.names)
}
