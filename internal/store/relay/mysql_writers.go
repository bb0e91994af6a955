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
// An INSERT takes its id before InnoDB starts its transaction. So whoever has taken an id is seen in one of
// two lists: as a session that executes a statement (of any kind that may write: MariaDB shows a batch as
// 'Bulk_execute', and a session that is being killed as 'Killed'), or as an open transaction. The sessions
// are read first: a session that has finished its statement by then has a transaction in the second list.
//
// Both lists need the PROCESS privilege. Without it each shows only our own session. Then nothing is known,
// and all gaps are kept.
//
// innodb_trx is a cache that is refreshed only when nobody has read it for 0.1 s (trx0i_s.cc). So the
// second statement runs inside a transaction of its own, and looks for itself in the result, by a nonce
// in its text: an old copy does not have it.
//
// A session that sleeps, with the same query id in two calls, has executed nothing in between. All that its
// transaction will commit was inserted before.
func (m mysql) openWriters(ctx context.Context) (Writers, error) {
	allowed, err := m.hasProcessPrivilege(ctx)
	if err != nil || !allowed {
		return Writers{}, err
	}
	queryID, err := m.queryID(ctx) // not inside the transaction: a pool of one connection would wait for ever
	if err != nil {
		return Writers{}, err
	}
	tx, err := m.pool.BeginTx(ctx, nil)
	if err != nil {
		return Writers{}, err
	}
	defer tx.Rollback()               // it only read
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
		// XA: a prepared transaction may lose its session, whose number is 0 then.
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

// lastGivenID returns an id: no higher one had been given out when the sessions were read.
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

// queryID returns the column that distinguishes one statement of a session from the next. Only MariaDB
// has it. Elsewhere a session counts as the same writer for as long as it is busy.
func (m mysql) queryID(ctx context.Context) (string, error) {
	var n int
	err := m.pool.QueryRowContext(ctx, m.sql.mysql.HasQueryID).Scan(&n)
	if n == 1 {
		return queryIDColumn, err
	}
	return "'any'", err
}

// hasProcessPrivilege reports whether this user has PROCESS: then the list has the system's own threads
// and the sessions of other users. information_schema.user_privileges would be no answer, because
// it lists only what is granted to the user itself, and not to its roles.
func (c *conn) hasProcessPrivilege(ctx context.Context) (bool, error) {
	var n int
	err := c.pool.QueryRowContext(ctx, c.sql.mysql.HasProcessPrivilege).Scan(&n)
	return n > 0, err
}
