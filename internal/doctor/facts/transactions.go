package facts

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Transaction is a transaction that is open in the source's database.
type Transaction struct {
	PID         int64 // what ends it; 0: it is prepared, and no session has it
	Prepared    string
	User        string
	Application string
	Client      string
	State       string        // as the server says: active, idle in transaction, Sleep, …
	Age         time.Duration // 0: the server does not tell this user
	QueryAge    time.Duration // since its last statement began; 0: not told
	Started     time.Time     // UTC, by the database's clock; zero: not told
	QueryStart  time.Time

	Writes bool // it has written, or may have, into outbox_events: ids of it are open
	// Locks is the table and the lock that keeps the relay or writers waiting, if it
	// holds or waits for one.
	Locks   string
	Waiting bool // for that lock
}

// Transactions is one look at the open transactions.
type Transactions struct {
	Open []Transaction
	// Hidden counts the sessions of which the server tells this user nothing; -1: it
	// shows other users' sessions not at all.
	Hidden int64
}

// Transactions lists transactions that are older than than, or hold a lock that keeps
// the outbox waiting, the oldest first; prepared ones too. SQLite tells of none.
func (d *Database) Transactions(ctx context.Context, than time.Duration) (Transactions, error) {
	read := db.For(d.names.Dialect, d.postgresTransactions, d.mysqlTransactions, noTransactions)
	return read(ctx, than)
}

// noTransactions is SQLite's: it shows none.
func noTransactions(context.Context, time.Duration) (Transactions, error) { return Transactions{}, nil }

const (
	// RowShareLock is of SELECT … FOR UPDATE, which nobody has a reason for on outbox_events.
	//
	// Locks that conflict with what writers (RowExclusiveLock) or the relay take.
	postgresBlocking = `('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`

	postgresOutbox = `SELECT oid, relname FROM pg_class WHERE oid IN (to_regclass($1::text), to_regclass($2::text), to_regclass($3::text))`

	// Of a session of another user, the server tells only those who may read all
	// statistics more than that it is there.
	postgresSessions = `WITH outbox AS (` + postgresOutbox + `), held AS (
	SELECT l.pid, bool_or(l.relation = to_regclass($1::text) AND l.mode = 'RowExclusiveLock' AND l.granted) AS writes,
		coalesce(min(o.relname || ': ' || l.mode) FILTER (WHERE l.mode IN ` + postgresBlocking + `),
			min(o.relname || ': rows') FILTER (WHERE l.mode = 'RowShareLock' AND l.granted AND l.relation = to_regclass($1::text))) AS blocks,
		coalesce(bool_and(NOT l.granted) FILTER (WHERE l.mode IN ` + postgresBlocking + `), false) AS waits
	FROM pg_locks l JOIN outbox o ON o.oid = l.relation
	WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	GROUP BY l.pid)
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''), coalesce(a.state, ''),
	(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::bigint,
	(extract(epoch FROM clock_timestamp() - a.query_start) * 1000000)::bigint,
	(extract(epoch FROM a.xact_start) * 1000000)::bigint, (extract(epoch FROM a.query_start) * 1000000)::bigint,
	coalesce(h.writes, false), coalesce(h.blocks, ''), coalesce(h.waits, false)
FROM pg_stat_activity a LEFT JOIN held h ON h.pid = a.pid
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
	AND (a.xact_start < clock_timestamp() - $4::bigint * interval '1 microsecond'
			AND a.backend_type IS DISTINCT FROM 'autovacuum worker' -- keeps nothing from being removed
		OR h.blocks IS NOT NULL)
ORDER BY a.xact_start LIMIT 100`

	postgresHidden = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>'`

	// A prepared transaction's locks have no process; which are whose, the lock on its
	// own id tells.
	postgresPrepared = `SELECT p.gid, p.owner, (extract(epoch FROM clock_timestamp() - p.prepared) * 1000000)::bigint,
	(extract(epoch FROM p.prepared) * 1000000)::bigint,
	EXISTS (SELECT 1 FROM pg_locks x JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
		WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted AND x.pid IS NULL
			AND l.relation = to_regclass($1::text))
FROM pg_prepared_xacts p WHERE p.database = current_database()
	AND p.prepared < clock_timestamp() - $2::bigint * interval '1 microsecond'
ORDER BY p.prepared LIMIT 100`
)

func (d *Database) postgresTransactions(ctx context.Context, than time.Duration) (Transactions, error) {
	var found Transactions
	events, parked, leases := d.names.Table(db.Events), d.names.Table(db.Parked), d.names.Table(db.Leases)
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := db.Each(ctx, tx, func(rows *sql.Rows) error {
			var t Transaction
			var age, queryAge, started, queryStart sql.NullInt64
			err := rows.Scan(&t.PID, &t.User, &t.Application, &t.Client, &t.State, &age, &queryAge, &started, &queryStart,
				&t.Writes, &t.Locks, &t.Waiting)
			t.Age, t.QueryAge, t.Started, t.QueryStart = db.Micros(age), db.Micros(queryAge), unixMicro(started), unixMicro(queryStart)
			found.Open = append(found.Open, t)
			return err
		}, postgresSessions, events, parked, leases, than.Microseconds())
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, postgresHidden).Scan(&found.Hidden); err != nil {
			return err
		}
		return db.Each(ctx, tx, func(rows *sql.Rows) error {
			t := Transaction{State: "prepared"}
			var age, started sql.NullInt64
			err := rows.Scan(&t.Prepared, &t.User, &age, &started, &t.Writes)
			t.Age, t.Started = db.Micros(age), unixMicro(started)
			found.Open = append(found.Open, t)
			return err
		}, postgresPrepared, events, than.Microseconds())
	})
	return found, err
}

func unixMicro(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}

const (
	mysqlProcessDenied = -1

	// trx_started is local time, in whatever zone the server's host is.
	mysqlOpen = `SELECT t.trx_mysql_thread_id, COALESCE(p.user, ''), COALESCE(p.host, ''), COALESCE(p.command, 'prepared'), COALESCE(p.time, 0),
	TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age, t.trx_rows_modified > 0
FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND (p.id IS NULL OR p.db = DATABASE() OR p.db IS NULL)
HAVING age >= ? ORDER BY age DESC LIMIT 100`

	// The statement's text tells the table; no other place does without the
	// metadata_lock_info plugin or performance_schema.
	mysqlWaiting = `SELECT id, user, host, command, time FROM information_schema.processlist
WHERE db = DATABASE() AND state = 'Waiting for table metadata lock' AND time >= 5
	AND (info LIKE CONCAT('%', ?, '%') OR info LIKE CONCAT('%', ?, '%'))
	AND UPPER(LTRIM(info)) NOT LIKE 'SELECT%' ORDER BY time DESC LIMIT 20`
)

func (d *Database) mysqlTransactions(ctx context.Context, than time.Duration) (Transactions, error) {
	if allowed, err := d.mayProcess(ctx); err != nil || !allowed {
		return Transactions{Hidden: mysqlProcessDenied}, err
	}
	var found Transactions
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := db.Each(ctx, tx, func(rows *sql.Rows) error {
			var t Transaction
			var age, idle int64
			err := rows.Scan(&t.PID, &t.User, &t.Client, &t.State, &idle, &age, &t.Writes)
			t.Age, t.QueryAge = time.Duration(age)*time.Second, time.Duration(idle)*time.Second
			found.Open = append(found.Open, t)
			return err
		}, mysqlOpen, int64(than.Seconds()))
		if err != nil {
			return err
		}
		return db.Each(ctx, tx, func(rows *sql.Rows) error {
			t := Transaction{Locks: "metadata lock", Waiting: true}
			var waits int64
			err := rows.Scan(&t.PID, &t.User, &t.Client, &t.State, &waits)
			t.Age, t.QueryAge = time.Duration(waits)*time.Second, time.Duration(waits)*time.Second
			found.Open = append(found.Open, t)
			return err
		}, mysqlWaiting, d.names.Plain(db.Events), d.names.Plain(db.Leases))
	})
	if err != nil {
		return found, err
	}
	return found, d.nameXA(ctx, &found)
}

// nameXA finds the names of the prepared transactions that have no session. Which name
// is whose, the server does not tell: all are listed with each.
func (d *Database) nameXA(ctx context.Context, found *Transactions) error {
	orphans := false
	for _, t := range found.Open {
		orphans = orphans || t.PID == 0
	}
	if !orphans {
		return nil
	}
	var names []string
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return db.Each(ctx, tx, func(rows *sql.Rows) error {
			var format int64
			var global, branch int
			var data []byte
			if err := rows.Scan(&format, &global, &branch, &data); err != nil {
				return err
			}
			if global+branch > len(data) {
				return fmt.Errorf("XA RECOVER: %d and %d bytes of %d", global, branch, len(data))
			}
			names = append(names, fmt.Sprintf("X'%s',X'%s',%d", hex.EncodeToString(data[:global]), hex.EncodeToString(data[global:global+branch]), format))
			return nil
		}, "XA RECOVER")
	})
	if err != nil {
		return err
	}
	for i := range found.Open {
		if found.Open[i].PID == 0 {
			found.Open[i].Prepared = strings.Join(names, " ")
		}
	}
	return nil
}

// mayProcess reports whether the user sees other users' sessions and transactions.
func (d *Database) mayProcess(ctx context.Context) (bool, error) {
	allowed := false
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.innodb_trx").Scan(&n)
		if allowed = err == nil; db.IsDenied(err) {
			return nil
		}
		return err
	})
	return allowed, err
}
