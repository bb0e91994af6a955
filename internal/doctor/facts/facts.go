package facts

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/source"
)

// Database examines an installation. Each method queries one subject and returns what it found, without an
// assessment.
//
// It changes nothing and blocks nobody. Each query runs in a read-only transaction of its own, with time
// limits in the server and in the client, and takes no lock that a writer would notice. Database uses one
// connection at a time. On PostgreSQL it uses no session setting and no named prepared statement, so it works
// through poolers. Safe for concurrent use.
type Database struct {
	db    *sql.DB
	names db.Names
	limit time.Duration

	sql      statements
	postgres postgresStatements // set only on PostgreSQL; the others likewise
	mysql    mysqlStatements
	sqlite   sqliteStatements

	source *source.Store
}

// New returns a Database for an installation. limit bounds each query.
func New(pool *sql.DB, n db.Names, limit time.Duration) (*Database, error) {
	asked, err := source.New(pool, n)
	if err != nil {
		return nil, err
	}
	d := &Database{db: pool, names: n, limit: limit, source: asked}
	return d, db.Load(files, n, &d.sql, db.For[any](n.Dialect, &d.postgres, &d.mysql, &d.sqlite))
}

// look runs queries in a transaction that cannot write. It sets time limits in the server too, because a
// statement goes on after its client has gone away. On PostgreSQL the limits are for the transaction only.
// Elsewhere they are for the connection, which is ours.
func (d *Database) look(ctx context.Context, ask func(context.Context, *sql.Tx) error) error {
	// This limit is longer than the server's limits, because a client that gives up asks the server to cancel
	// the statement. pgbouncer 1.18 may crash because of such a request.
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
		// A lock that is not granted soon is a finding, and a longer wait in its queue would block others.
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

// conn takes a connection. On MySQL and MariaDB it limits how long its statements wait for the lock of a
// statement that alters a table. The default is a day.
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

// Tables reports which tables of the outbox exist. MySQL hides a table on which the user has no right, so
// such a table counts as existing.
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

// outboxTables returns the default names of the outbox's tables.
func outboxTables(d db.Dialect) []string {
	tables := []string{db.Events, db.Parked, db.Leases, db.Archive, db.Scheduled, db.Relays, db.Drops, db.Schema}
	if d == db.MySQL {
		tables = append(tables, db.KeyLocks)
	}
	return tables
}
