package relay

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// openWriters finds the transactions that may still fill a gap.
//
// An INSERT takes its id before InnoDB starts its transaction. So a writer that has taken an id is visible in
// one of two lists. It is a session that executes a statement, or an open transaction. The statement may be
// of any kind that can write: MariaDB shows a batch as 'Bulk_execute', and a session that is being killed as
// 'Killed'. The sessions are read first: a session that has finished its statement by then has a transaction
// in the second list.
//
// Both lists need the PROCESS privilege. Without it each list shows only our own session, so nothing is
// known, and all gaps are kept.
//
// innodb_trx is a cache. The server refreshes it only when nobody has read it for 0.1 s (trx0i_s.cc). So the
// second statement runs inside a transaction of its own, and looks for itself in the result, by a nonce in
// its text. An old copy does not contain the nonce.
//
// A session that sleeps and has the same query id in two calls has executed nothing in between. Everything
// that its transaction will commit was inserted before the first call.
func (m mysql) openWriters(ctx context.Context) (Writers, error) {
	allowed, err := m.hasProcessPrivilege(ctx)
	if err != nil || !allowed {
		return Writers{}, err
	}
	queryID, err := m.queryID(ctx) // not inside the transaction, where a pool of one connection would deadlock
	if err != nil {
		return Writers{}, err
	}
	tx, err := m.pool.BeginTx(ctx, nil)
	if err != nil {
		return Writers{}, err
	}
	defer tx.Rollback()               // the transaction only read
	asleep := make(map[string]string) // session → its last query
	statement := db.Fill(m.sql.mysql.Sessions, db.Values{"query_id": db.SQL(queryID)})
	sessions, err := scanWriters(ctx, tx, statement, func(thread, query, command string) (Writer, bool) {
		if command == "Sleep" {
			asleep[thread] = query
		}
		return sessionWriter(thread, query), command != "Sleep"
	})
	if err != nil {
		return Writers{}, err
	}
	if _, err := tx.ExecContext(ctx, m.sql.mysql.StartTransaction); err != nil {
		return Writers{}, err
	}
	nonce, fresh := uuid.NewString(), false
	statement = db.Fill(m.sql.mysql.OpenTransactions, db.Values{"nonce": db.SQL(nonce)})
	transactions, err := scanWriters(ctx, tx, statement, func(thread, started, query string) (Writer, bool) {
		fresh = fresh || strings.Contains(query, nonce)
		// With XA, a prepared transaction may lose its session. Its session number is 0 then.
		writer := Writer{ID: transactionID(thread) + started, Next: transactionID("0")}
		if last, sleeps := asleep[thread]; sleeps && queryID == queryIDColumn {
			writer.Rest = "query " + last
		}
		return writer, true
	})
	if err != nil || !fresh {
		return Writers{}, err
	}
	given, err := m.lastGivenID(ctx, tx)
	return Writers{Known: true, Open: append(sessions, transactions...), Given: given}, err
}

// lastGivenID returns an id. When the sessions were read, no higher id had been given out.
func (m mysql) lastGivenID(ctx context.Context, tx *sql.Tx) (int64, error) {
	var next sql.NullInt64
	err := tx.QueryRowContext(ctx, m.sql.server.LastGivenID, m.names.Plain(db.Events)).Scan(&next)
	return max(next.Int64-1, 0), err
}

func sessionWriter(thread, query string) Writer {
	return Writer{ID: fmt.Sprintf("session %s query %s", thread, query), Next: transactionID(thread)}
}

func transactionID(thread string) string { return "transaction of session " + thread + " since " }

func scanWriters(ctx context.Context, tx *sql.Tx, query string,
	writer func(a, b, c string) (Writer, bool)) (all []Writer, err error) {
	err = db.Each(ctx, tx, func(rows *sql.Rows) error {
		var a, b, c string
		if err := rows.Scan(&a, &b, &c); err != nil {
			return err
		}
		if w, counts := writer(a, b, c); counts {
			all = append(all, w)
		}
		return nil
	}, query)
	if err != nil {
		return nil, err
	}
	return all, nil
}

const queryIDColumn = "query_id"

// queryID returns the name of the column that distinguishes one statement of a session from the next. Only
// MariaDB has it. On MySQL a session counts as the same writer for as long as it is busy.
func (m mysql) queryID(ctx context.Context) (string, error) {
	var n int
	err := m.pool.QueryRowContext(ctx, m.sql.mysql.HasQueryID).Scan(&n)
	if n == 1 {
		return queryIDColumn, err
	}
	return "'any'", err
}

// hasProcessPrivilege reports whether this user has PROCESS. It looks whether the list has the system's own
// threads and the sessions of other users. information_schema.user_privileges does not answer the question,
// because it lists only what is granted to the user itself, and not to its roles.
func (c *conn) hasProcessPrivilege(ctx context.Context) (bool, error) {
	var n int
	err := c.pool.QueryRowContext(ctx, c.sql.mysql.HasProcessPrivilege).Scan(&n)
	return n > 0, err
}
