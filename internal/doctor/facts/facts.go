package facts

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/source"
)

// Database looks at an installation for what is wrong with it. Each method asks about one
// subject and returns what it found, without a judgement.
//
// It changes nothing and keeps nothing waiting: what it asks runs in a read-only
// transaction of its own, with a time limit by the server's clock and by ours, and
// takes no lock that a writer would notice. It uses one connection at a time, no
// session setting on PostgreSQL and no named prepared statement, so poolers do not
// mind. Safe for concurrent use.
type Database struct {
	db    *sql.DB
	names db.Names
	limit time.Duration

	sql      statements
	postgres postgresStatements // filled on PostgreSQL alone, and so on
	mysql    mysqlStatements
	sqlite   sqliteStatements

	source *source.Store
}

// New returns a Database for an installation. limit bounds each question.
func New(pool *sql.DB, n db.Names, limit time.Duration) (*Database, error) {
	asked, err := source.New(pool, n)
	if err != nil {
		return nil, err
	}
	d := &Database{db: pool, names: n, limit: limit, source: asked}
	return d, db.Load(files, n, &d.sql, db.For[any](n.Dialect, &d.postgres, &d.mysql, &d.sqlite))
}

// look runs questions in a transaction that cannot write. It asks for the server's own
// time limits, because a client that goes away leaves its statement running: on
// PostgreSQL for the transaction alone, elsewhere for the connection, which is ours.
func (d *Database) look(ctx context.Context, ask func(context.Context, *sql.Tx) error) error {
	// Longer than the server's own limits: what a client gives up it asks to be
	// cancelled, and pgbouncer 1.18 may end itself over such a request.
	ctx, cancel := context.WithTimeout(ctx, d.limit+d.limit/2)
	defer cancel()
	conn, err := d.conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it only read
	if d.names.Dialect == db.PostgreSQL {
		// A lock that is not granted soon is a finding, and waiting in its queue would
		// be in the way of others.
		for _, limit := range []string{"statement_timeout", "lock_timeout"} {
			ms := d.limit.Milliseconds()
			if limit == "lock_timeout" {
				ms = max(ms/2, 1)
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("SET LOCAL %s = %d", limit, ms)); err != nil {
				return err
			}
		}
	}
	return ask(ctx, tx)
}

// conn takes a connection, and on MySQL and MariaDB limits how long its statements wait
// for the lock that a table's change holds: by default a day.
func (d *Database) conn(ctx context.Context) (*sql.Conn, error) {
	conn, err := d.db.Conn(ctx)
	if err != nil || d.names.Dialect != db.MySQL {
		return conn, err
	}
	if _, err := conn.ExecContext(
		ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(int(d.limit.Seconds()/2), 1)),
	); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Tables are the tables of the outbox that exist, by default name.
type Tables map[string]bool

// Tables tells which tables exist, of those that the outbox's half knows. MySQL does not
// tell of a table to which the user has no right: it counts as there.
func (d *Database) Tables(ctx context.Context) (Tables, error) {
	return d.tables(ctx, outboxTables(d.names.Dialect))
}

func (d *Database) tables(ctx context.Context, names []string) (Tables, error) {
	found := Tables{}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, name := range names {
			arg := d.names.Plain(name)
			if d.names.Dialect == db.PostgreSQL {
				arg = d.names.Table(name)
			}
			var n int
			if err := tx.QueryRowContext(ctx, d.sql.TableExists, arg).Scan(&n); err != nil {
				return err
			}
			found[name] = n > 0
			if n == 0 && d.names.Dialect == db.MySQL {
				found[name] = db.IsDenied(
					tx.QueryRowContext(ctx, "SELECT 1 FROM "+d.names.Table(name)+" WHERE FALSE").Scan(&n),
				)
			}
		}
		return nil
	})
	return found, err
}

// outboxTables are the tables of the outbox's half, by default name.
func outboxTables(d db.Dialect) []string {
	tables := []string{db.Events, db.Parked, db.Leases, db.Archive, db.Scheduled, db.Relays, db.Drops, db.Schema}
	if d == db.MySQL {
		tables = append(tables, db.KeyLocks)
	}
	return tables
}
