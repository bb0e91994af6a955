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

// lastGivenID returns an id above which none had been given out when the sessions were looked
// at.
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

// queryID tells one statement of a session from the next. Only MariaDB has it;
// elsewhere a session counts as the same writer for as long as it is busy.
func (m mysql) queryID(ctx context.Context) (string, error) {
	var n int
	err := m.pool.QueryRowContext(ctx, m.sql.mysql.HasQueryID).Scan(&n)
	if n == 1 {
		return queryIDColumn, err
	}
	return "'any'", err
}

// hasProcessPrivilege reports whether this user has PROCESS: with it, the system's own threads
// and other users' sessions show; information_schema.user_privileges lists what is
// granted to the user itself, roles aside.
func (c *conn) hasProcessPrivilege(ctx context.Context) (bool, error) {
	var n int
	err := c.pool.QueryRowContext(ctx, c.sql.mysql.HasProcessPrivilege).Scan(&n)
	return n > 0, err
}
