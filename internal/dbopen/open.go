package dbopen

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// ConnectTimeout is the limit for opening a connection, unless the URL says
// otherwise (connect_timeout for PostgreSQL, in seconds; timeout for MySQL, as in 5s).
const ConnectTimeout = 10 * time.Second

// Target is an open database.
type Target struct {
	DB      *sql.DB
	Dialect db.Dialect
	// Redacted says which database this is, without user and password: for logs.
	Redacted string
	// Pooler is true if there is a pooler between us and PostgreSQL.
	Pooler bool
}

// Option changes a default of Open.
type Option func(*options)

type options struct {
	maxOpen   int
	mustExist bool
	asIs      bool
	lockWait  time.Duration
}

// WithMaxOpen limits the pool to n connections. Default: 8.
func WithMaxOpen(n int) Option { return func(o *options) { o.maxOpen = n } }

// WithExisting returns an error if an SQLite file does not exist, instead of making it.
// So a wrong path is not taken for an empty database.
func WithExisting() Option { return func(o *options) { o.mustExist = true } }

// WithoutChanges leaves an SQLite file's journal as it is, instead of setting it to
// WAL, which stays in the file. Use it to read, not to relay.
func WithoutChanges() Option { return func(o *options) { o.asIs = true } }

// WithLockTimeout ends a statement that waits for another session's lock for longer than d,
// on MySQL in whole seconds. It does nothing through a pooler, which accepts no such setting,
// and on SQLite, which waits up to 10 s for its one lock. Default: the server's.
func WithLockTimeout(d time.Duration) Option { return func(o *options) { o.lockWait = d } }

// Open opens the database at rawURL and waits until it has answered once. URLs are
// postgres:// or postgresql:// (with pgx's parameters: sslmode, sslrootcert,
// connect_timeout, target_session_attrs, …), mysql:// or mariadb:// (with
// go-sql-driver's: tls, timeout, …, and socket for a Unix socket),
// sqlite:///absolute/path or sqlite:relative/path.
//
// The caller closes Target.DB. An error wraps the driver's error, and never contains a password.
func Open(ctx context.Context, rawURL string, opts ...Option) (*Target, error) {
	o := options{maxOpen: 8}
	for _, opt := range opts {
		opt(&o)
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	t, err := opener(u.dialect)(ctx, u, o)
	if err != nil {
		return nil, err
	}
	t.DB.SetMaxOpenConns(o.maxOpen)
	t.DB.SetMaxIdleConns(o.maxOpen)
	// Poolers, firewalls and failovers end idle connections silently.
	t.DB.SetConnMaxIdleTime(5 * time.Minute)
	return t, nil
}

// Check returns what is wrong with a URL. It does not connect.
func Check(rawURL string) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	return db.For(u.dialect,
		func() error { _, err := postgresConfig(u); return err },
		func() error { _, err := mysqlConfig(u); return err },
		func() error { return nil })() // the file's name is all that there is
}

func opener(d db.Dialect) func(context.Context, *parsedURL, options) (*Target, error) {
	return db.For(d, openPostgres, openMySQL, openSQLite)
}

// ping waits for the first connection.
func ping(ctx context.Context, db *sql.DB, where string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return cannotOpen(where, err, timeout)
	}
	return nil
}

// unusable makes the error for a server that answers and cannot be used.
func unusable(where, format string, args ...any) error {
	return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
}
