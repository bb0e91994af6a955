package kit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

// Connections is how many connections a service keeps to its database at most.
const Connections = 8

// DB is the database of one service. SQL and Gorm share one pool: a service uses what it likes.
type DB struct {
	Dialect outbox.Dialect
	SQL     *sql.DB
	Gorm    *gorm.DB
}

// Open opens the database at rawURL (sqlite:PATH, postgres://… or mysql://…), and makes Postroom's tables in it. The
// caller calls Close. No error has the password.
func Open(ctx context.Context, rawURL string) (*DB, error) {
	db, err := Connect(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	// Several processes may do this at the same time: one of them makes the tables, the others wait.
	if _, err := migrations.Apply(ctx, db.SQL, db.Dialect, migrations.Options{}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Connect is Open without tables.
func Connect(ctx context.Context, rawURL string) (*DB, error) {
	dialect, dialector, err := dialector(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	// gorm does not log: each error comes back, and the caller logs it once.
	g, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool, err := g.DB()
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool.SetMaxOpenConns(Connections)
	// Idle connections are kept. The default closes all but two, and a busy service would connect all the time.
	pool.SetMaxIdleConns(Connections)
	return &DB{Dialect: dialect, SQL: pool, Gorm: g}, nil
}

// Close closes all connections.
func (d *DB) Close() error { return d.SQL.Close() }

func dialector(ctx context.Context, rawURL string) (outbox.Dialect, gorm.Dialector, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "postgres", "postgresql":
		return outbox.PostgreSQL, postgres.Open(rawURL), nil
	case "mysql", "mariadb":
		dsn, err := mysqlDSN(ctx, rawURL)
		return outbox.MySQL, mysql.Open(dsn), err
	case "sqlite":
		// SQLite has one writer at a time. With _txlock=immediate a transaction waits for its turn when it begins, and
		// not in the middle, where SQLite would refuse it.
		return outbox.SQLite, sqlite.Open("file:" + rest +
			"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"), nil
	}
	return "", nil, errors.New("the database URL must be sqlite:PATH, postgres://… or mysql://…")
}

// Tx runs f in a transaction, and commits if f returns nil.
func (d *DB) Tx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := d.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Exec runs statements that make a service's own tables. They must be repeatable: CREATE TABLE IF NOT EXISTS.
// Several processes may do this at the same time.
func (d *DB) Exec(ctx context.Context, statements ...string) error {
	err := d.Tx(ctx, func(tx *sql.Tx) error {
		if d.Dialect == outbox.PostgreSQL {
			// There, of two sessions that make a table IF NOT EXISTS at the same time, one fails.
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('shop tables'))"); err != nil {
				return err
			}
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	return nil
}
