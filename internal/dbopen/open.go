package dbopen

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// ConnectTimeout is how long a connection may take to come up, unless the URL says
// otherwise (connect_timeout for PostgreSQL, in seconds; timeout for MySQL, as in 5s).
const ConnectTimeout = 10 * time.Second

// Target is an open database.
type Target struct {
	DB      *sql.DB
	Dialect db.Dialect
	// Redacted says which database this is, without user and password: for logs.
	Redacted string
	// Pooler tells that a pooler stands between us and PostgreSQL.
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

// WithExisting rejects an SQLite file that is not there, instead of making it:
// a wrong path is then not mistaken for an empty database.
func WithExisting() Option { return func(o *options) { o.mustExist = true } }

// WithoutChanges leaves an SQLite file's journal as it is, instead of setting it to
// WAL, which stays in the file. For looking, not for relaying.
func WithoutChanges() Option { return func(o *options) { o.asIs = true } }

// WithLockTimeout ends a statement that waits for another session's lock for longer than d,
// on MySQL whole seconds. Through a pooler, which takes no such setting, and on SQLite, which
// waits for its one lock for 10 s, it does nothing. Default: the server's.
func WithLockTimeout(d time.Duration) Option { return func(o *options) { o.lockWait = d } }

// Open opens the database at rawURL and waits until it has answered once. URLs are
// postgres:// or postgresql:// (with pgx's parameters: sslmode, sslrootcert,
// connect_timeout, target_session_attrs, …), mysql:// or mariadb:// (with
// go-sql-driver's: tls, timeout, …, and socket for a Unix socket),
// sqlite:///absolute/path or sqlite:relative/path.
//
// The caller closes Target.DB. An error wraps the driver's and never holds a password.
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
	// Poolers, firewalls and failovers end idle connections without a word.
	t.DB.SetConnMaxIdleTime(5 * time.Minute)
	return t, nil
}

// Check reports what is wrong with a URL, without connecting.
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
