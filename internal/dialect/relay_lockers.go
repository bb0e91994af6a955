package dialect

import (
	"context"
	"errors"
)

// Which session has locked a row shows nowhere, unless somebody waits for it. On PostgreSQL
// those that did SELECT … FOR UPDATE hold RowShareLock on the table, and no writer does; on
// MariaDB and MySQL every transaction says how many rows it has locked, of any table.
const (
	postgresLockers = `SELECT 'session ' || l.pid || ' (user ' || coalesce(a.usename, '') || coalesce(', application ' || quote_literal(nullif(a.application_name, '')), '')
  || coalesce(', ' || a.state, '') || coalesce(', since ' || date_trunc('second', a.xact_start), '') || ')'
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.relation = $1::text::regclass AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('RowShareLock', 'RowExclusiveLock')
  AND coalesce(a.state, 'idle in transaction') <> 'active'
GROUP BY l.pid, a.usename, a.application_name, a.state, a.xact_start
ORDER BY bool_or(l.mode = 'RowShareLock') DESC, a.xact_start LIMIT 3`

	mysqlLockers = `SELECT CONCAT('session ', t.trx_mysql_thread_id, ' (user ', COALESCE(p.user, ''), ', ', COALESCE(p.command, 'prepared'),
  ', since ', t.trx_started, ', ', t.trx_rows_locked, ' rows locked)')
FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_rows_locked > 0 AND (p.id IS NULL OR p.db = DATABASE())
  AND COALESCE(p.command, 'Sleep') = 'Sleep'
ORDER BY t.trx_started LIMIT 3`
)

// Lockers names the sessions that may have locked rows of outbox_events, the likeliest
// first.
func (r *Relay) Lockers(ctx context.Context) (who []string, err error) {
	var args []any
	statement := mysqlLockers
	switch r.names.Dialect {
	case SQLite:
		return nil, nil
	case PostgreSQL:
		statement, args = postgresLockers, []any{r.names.Table(Events)}
	}
	rows, err := r.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		who = append(who, one)
	}
	return who, rows.Err()
}
