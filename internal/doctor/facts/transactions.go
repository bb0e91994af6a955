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
	PID         int64 // id of the session to end; 0: it is prepared, and no session has it
	Prepared    string
	User        string
	Application string
	Client      string
	State       string        // the server's text: active, idle in transaction, Sleep, …
	Age         time.Duration // 0: the server does not show it to this user
	QueryAge    time.Duration // time since its last statement began; 0: not known
	Started     time.Time     // UTC, by the database's clock; zero: not known
	QueryStart  time.Time

	Writes bool // it has written, or may have written, to outbox_events
	// Locks is the table and the lock that the transaction holds or waits for, if the relay or writers wait
	// because of it.
	Locks   string
	Waiting bool // for that lock
}

// Transactions is one look at the open transactions.
type Transactions struct {
	Open []Transaction
	// Hidden counts the sessions about which the server shows this user nothing. It is -1 if the server does
	// not show sessions of other users at all.
	Hidden int64
}

// Transactions lists transactions that are older than than, or hold a lock for which the outbox waits, the
// oldest first. It includes prepared ones. SQLite reports none.
func (d *Database) Transactions(ctx context.Context, than time.Duration) (Transactions, error) {
	read := db.For(d.names.Dialect, d.postgresTransactions, d.mysqlTransactions, noTransactions)
	return read(ctx, than)
}

// noTransactions is for SQLite, which shows none.
func noTransactions(context.Context, time.Duration) (Transactions, error) { return Transactions{}, nil }

func (d *Database) postgresTransactions(ctx context.Context, than time.Duration) (Transactions, error) {
	var found Transactions
	events, parked, leases := d.names.Table(db.Events), d.names.Table(db.Parked), d.names.Table(db.Leases)
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := db.Each(ctx, tx, func(rows *sql.Rows) error {
			var t Transaction
			var age, queryAge, started, queryStart sql.NullInt64
			err := rows.Scan(&t.PID, &t.User, &t.Application, &t.Client, &t.State, &age, &queryAge, &started,
				&queryStart,
				&t.Writes, &t.Locks, &t.Waiting)
			t.Age, t.QueryAge = db.Micros(age), db.Micros(queryAge)
			t.Started, t.QueryStart = unixMicro(started), unixMicro(queryStart)
			found.Open = append(found.Open, t)
			return err
		}, d.postgres.Sessions, events, parked, leases, than.Microseconds())
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, d.postgres.HiddenSessions).Scan(&found.Hidden); err != nil {
			return err
		}
		return db.Each(ctx, tx, func(rows *sql.Rows) error {
			t := Transaction{State: "prepared"}
			var age, started sql.NullInt64
			err := rows.Scan(&t.Prepared, &t.User, &age, &started, &t.Writes)
			t.Age, t.Started = db.Micros(age), unixMicro(started)
			found.Open = append(found.Open, t)
			return err
		}, d.postgres.Prepared, events, than.Microseconds())
	})
	return found, err
}

func unixMicro(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}

const mysqlProcessDenied = -1

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
		}, d.mysql.OpenTransactions, int64(than.Seconds()))
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
		}, d.mysql.LockWaits, d.names.Plain(db.Events), d.names.Plain(db.Leases))
	})
	if err != nil {
		return found, err
	}
	return found, d.nameXA(ctx, &found)
}

// nameXA finds the names of prepared transactions without a session. The server does not say which name
// belongs to which transaction, so each transaction gets all names.
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
			names = append(names, fmt.Sprintf(
				"X'%s',X'%s',%d", hex.EncodeToString(data[:global]), hex.EncodeToString(data[global:global+branch]),
				format,
			))
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

// mayProcess reports whether the user can see other users' sessions and transactions.
func (d *Database) mayProcess(ctx context.Context) (bool, error) {
	allowed := false
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, d.mysql.MayProcess).Scan(&n)
		if allowed = err == nil; db.IsDenied(err) {
			return nil
		}
		return err
	})
	return allowed, err
}
