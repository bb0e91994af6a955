package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// These errors need different reactions of the caller.
var (
	// ErrLeaseLost says that the lease row names another owner or epoch.
	ErrLeaseLost = errors.New("the lease is held by another owner")
	// ErrServerChanged says that another server answers than the one that granted the lease, or the same one
	// after a restart. It may lack data that the first one has committed.
	ErrServerChanged = errors.New("another database server answers than before, or it was restarted")
	// ErrSequenceBehind says that the next ids exist already, so that inserts would fail or reuse ids.
	ErrSequenceBehind = errors.New("the id sequence is below the highest id")
)

// Options of a Store.
type Options struct {
	// LeasePool has the connections that keep the lease, so that a renewal does not wait for a connection
	// behind slow reads. nil: the store's pool.
	LeasePool *sql.DB
	// Archive moves delivered events to outbox_archive instead of deleting them.
	Archive bool
}

// Store is the relay's side of one installation. Safe for concurrent use.
type Store struct {
	*conn
	Leases
	Fleet
	Events
	Parked
	Schedule
}

// conn is what all parts of a store share.
type conn struct {
	pool, leasePool *sql.DB
	names           db.Names
	archive         bool
	sql             allStatements
	dialect         dialect
}

// New returns the store of the installation n.
func New(pool *sql.DB, n db.Names, o Options) (*Store, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	all, err := load(n)
	if err != nil {
		return nil, err
	}
	c := &conn{pool: pool, leasePool: o.LeasePool, names: n, archive: o.Archive, sql: all}
	if c.leasePool == nil {
		c.leasePool = pool
	}
	c.dialect = db.For[dialect](n.Dialect, postgres{c}, mysql{c}, sqlite{c})
	return &Store{c, Leases{c}, Fleet{c}, Events{c}, Parked{c}, Schedule{c}}, nil
}

// dialect is what differs between databases and needs Go.
type dialect interface {
	// read returns the statement of a read, with its arguments.
	read(q ReadQuery) (statement string, args []any)
	// columns lists where the columns of a row go. finish completes the row after each Scan.
	columns(row *Row) (into []any, finish func())
	// inspect describes the installation.
	inspect(ctx context.Context) (Source, error)
	// openWriters lists the transactions that may still fill a gap seen before the call.
	openWriters(ctx context.Context) (Writers, error)
	// checkSequence fails with ErrSequenceBehind.
	checkSequence(ctx context.Context) error
	// firstParked returns the first parked row of each key.
	firstParked(ctx context.Context, q reader, keys []db.EventKey) ([]parkedHead, error)
	// followers returns, from the first rows of each key (at most most of them), the blocked ones before a
	// failed one.
	followers(ctx context.Context, tx *sql.Tx, heads []parkedHead, most int) ([]int64, error)
	// blockedKeysArgs are the arguments of BlockedKeys.
	blockedKeysArgs(after BlockedPart) []any
}

// reader is a *sql.DB or a *sql.Tx.
type reader interface {
	db.Querier
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// execer is a *sql.DB or a *sql.Tx.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Source describes the installation that a relay is about to serve.
type Source struct {
	Name     string // "" until the first relay sets it
	SourceID uuid.UUID
	Standby  bool
	// Unordered, if not empty, says why ids do not give the order of events on this server.
	Unordered string
	// ArchiveErr says why the archive cannot be used although it is enabled.
	ArchiveErr error
}

// Inspect describes the installation and sets the source's name if none is set.
func (c *conn) Inspect(ctx context.Context, name string) (Source, error) {
	src, err := c.dialect.inspect(ctx)
	if err != nil || src.Standby {
		return src, err
	}
	if err := c.checkRights(ctx); err != nil {
		return src, err
	}
	if src.Name == "" {
		if _, err := c.pool.ExecContext(ctx, c.sql.NameSource, name); err != nil {
			return src, fmt.Errorf("set the source's name: %w", err)
		}
		if src, err = c.dialect.inspect(ctx); err != nil { // another relay may have set it at the same time
			return src, err
		}
	}
	if c.archive && src.Name == name {
		src.ArchiveErr = c.checkArchive(ctx)
	}
	return src, nil
}

func (c *conn) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	return c.inTxOf(ctx, c.pool, f)
}

func (c *conn) inTxOf(ctx context.Context, pool *sql.DB, f func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if first := c.sql.sqlite.FirstWrite; first != "" {
		if _, err := tx.ExecContext(ctx, first); err != nil {
			return err
		}
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Fenced runs change in a transaction that holds the lease row locked, or returns ErrLeaseLost or
// ErrServerChanged. All changes that move rows or write hints use it. A condition EXISTS (lease) in the
// statement itself is not enough, because it sees the statement's snapshot: an owner that was declared dead
// and waits for a row's lock would still pass it after its successor has claimed the lease
// (hazard stale-fence). A claim waits for the lock that Fenced holds.
func (c *conn) Fenced(ctx context.Context, l Lease, change func(*sql.Tx) error) error {
	return c.inTx(ctx, func(tx *sql.Tx) error {
		if err := c.checkLease(ctx, tx, l, c.sql.LockLease); err != nil {
			return err
		}
		return change(tx)
	})
}

// fencedAgain does what Fenced does. It tries again a few times if the database has ended the transaction
// because another one changed the same rows.
func (c *conn) fencedAgain(ctx context.Context, l Lease, change func(*sql.Tx) error) error {
	const tries = 4
	var err error
	for range tries {
		if err = c.Fenced(ctx, l, change); err == nil || !db.IsSerialization(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// checkLease returns nil if l is the lease in the table and this server granted it. Otherwise it returns
// ErrLeaseLost or ErrServerChanged. statement is LeaseOwner, or LockLease to lock the row.
func (c *conn) checkLease(ctx context.Context, q reader, l Lease, statement string) error {
	var owner sql.NullString
	var epoch int64
	var server string
	err := q.QueryRowContext(ctx, statement).Scan(&owner, &epoch, &server)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrLeaseLost
	case err != nil:
		return err
	case owner.String != l.Owner.String() || epoch != l.Epoch:
		return ErrLeaseLost
	case server != l.Server:
		return ErrServerChanged
	}
	return nil
}
