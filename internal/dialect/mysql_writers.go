package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// writersMySQL finds the transactions that may still fill a gap.
//
// An INSERT takes its id before InnoDB starts its transaction, so a transaction that
// took an id before the look is one of two things: a session that is executing a
// statement (of any kind that may write: a batch of MariaDB's is 'Bulk_execute', a session
// that is being killed 'Killed'), or an open transaction. The sessions are looked at first: whoever has
// finished the statement by then has a transaction that the second look sees.
//
// Both need the PROCESS privilege. Without it both tables show our own session
// alone, which is told by their being so: then nothing is known, and gaps are kept.
//
// innodb_trx is a cache that is refreshed only when nobody has read it for 0.1 s
// (trx0i_s.cc). So the look runs inside a transaction of its own and searches the
// result for itself, by a nonce in the query's text: an old copy does not have it.
//
// A session that sleeps, and in two looks under the same query's id, has executed
// nothing in between: what its transaction will commit, it has inserted before.
type writersMySQL struct {
	db    *sql.DB
	names Names
}

func (w writersMySQL) writers(ctx context.Context) (Writers, error) {
	allowed, err := w.mayLook(ctx)
	if err != nil || !allowed {
		return Writers{}, err
	}
	queryID, err := w.queryID(ctx) // not inside the transaction: a pool of one connection would wait for ever
	if err != nil {
		return Writers{}, err
	}
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return Writers{}, err
	}
	defer tx.Rollback()               // it only read
	asleep := make(map[string]string) // session → its last query
	sessions, err := scanWriters(ctx, tx, "SELECT id, "+queryID+`, command FROM information_schema.processlist
WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND id <> CONNECTION_ID()`, func(thread, query, command string) (Writer, bool) {
		if command == "Sleep" {
			asleep[thread] = query
		}
		return sessionWriter(thread, query), command != "Sleep"
	})
	if err != nil {
		return Writers{}, err
	}
	if _, err := tx.ExecContext(ctx, w.names.Expand("SELECT epoch FROM {outbox_leases} WHERE id = 1")); err != nil {
		return Writers{}, err
	}
	nonce, fresh := uuid.NewString(), false
	transactions, err := scanWriters(ctx, tx, "SELECT /* "+nonce+` */ trx_mysql_thread_id, trx_started, COALESCE(trx_query, '')
FROM information_schema.innodb_trx`, func(thread, started, query string) (Writer, bool) {
		fresh = fresh || strings.Contains(query, nonce)
		writer := Writer{ID: transactionID(thread) + started, Next: transactionID("0")} // XA: a prepared one may lose its session
		if last, sleeps := asleep[thread]; sleeps && queryID == queryIDColumn {
			writer.Rest = "query " + last
		}
		return writer, true
	})
	if err != nil || !fresh {
		return Writers{}, err
	}
	given, err := w.given(ctx, tx)
	return Writers{Known: true, Open: append(sessions, transactions...), Given: given}, err
}

// given returns an id above which none had been given out when the sessions were looked
// at.
func (w writersMySQL) given(ctx context.Context, tx *sql.Tx) (int64, error) {
	var next sql.NullInt64
	err := tx.QueryRowContext(ctx, `SELECT MAX(auto_increment) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?`, w.names.Plain(Events)).Scan(&next)
	return max(next.Int64-1, 0), err
}

func sessionWriter(thread, query string) Writer {
	return Writer{ID: fmt.Sprintf("session %s query %s", thread, query), Next: transactionID(thread)}
}

func transactionID(thread string) string { return "transaction of session " + thread + " since " }

func scanWriters(ctx context.Context, tx *sql.Tx, query string,
	writer func(a, b, c string) (Writer, bool)) ([]Writer, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Writer
	for rows.Next() {
		var a, b, c string
		if err := rows.Scan(&a, &b, &c); err != nil {
			return nil, err
		}
		if w, counts := writer(a, b, c); counts {
			all = append(all, w)
		}
	}
	return all, rows.Err()
}

const queryIDColumn = "query_id"

// queryID tells one statement of a session from the next. Only MariaDB has it;
// elsewhere a session counts as the same writer for as long as it is busy.
func (w writersMySQL) queryID(ctx context.Context) (string, error) {
	var n int
	err := w.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.columns
WHERE table_schema = 'information_schema' AND table_name = 'PROCESSLIST' AND column_name = 'QUERY_ID'`).Scan(&n)
	if n == 1 {
		return queryIDColumn, err
	}
	return "'any'", err
}

// mayLook reports whether this user has PROCESS: with it, the system's own threads
// and other users' sessions show; information_schema.user_privileges lists what is
// granted to the user itself, roles aside.
func (w writersMySQL) mayLook(ctx context.Context) (bool, error) {
	var n int
	err := w.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.user_privileges
WHERE privilege_type = 'PROCESS' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')`).Scan(&n)
	return n > 0, err
}
