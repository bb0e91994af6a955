package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// Row is a row of outbox_events.
type Row struct {
	ID        int64
	EventID   uuid.UUID
	Topic     string
	Key       []byte // nil: NULL
	Type      string
	Payload   []byte // nil: NULL
	Headers   []byte // a JSON object
	CreatedAt time.Time
}

// Range is a span of ids, both ends included.
type Range struct{ Lo, Hi int64 }

// ReadQuery asks for the rows whose id lies in one of Gaps or above Head. Gaps
// ascend, do not touch one another, and lie at or below Head.
type ReadQuery struct {
	Gaps []Range
	// Asleep names for each gap the transactions that alone may have written to it and not
	// committed, by Writer.Number: the read passes over a gap while its snapshot sees all of them
	// running. Empty: it looks there. nil: at all.
	Asleep [][]uint64
	Head   int64
	Limit  int // of rows from the gaps, and of rows above Head

	GapsOnly bool // leave out the rows above Head
}

// ReadInfo says what a read found beside the rows.
type ReadInfo struct {
	// Server identifies the server and its history: it changes when another
	// server answers, or the same one after a restart or a promotion.
	Server string
	// Standby: the server is read-only and may lag behind the primary.
	Standby bool
}

// Lease is what a claim returned.
type Lease struct {
	Owner    uuid.UUID
	Epoch    int64
	SourceID uuid.UUID
	// Server is the one that granted it, as in ReadInfo. The row is copied to standbys: on
	// another server it says what was true when that was last told.
	Server string

	// Mode is the one that the source was relayed in last, or the claim's if it never was.
	Mode string
	// Position is what SetPosition kept, Proved what SetProved did; nil: nothing.
	Position []byte
	Proved   []byte
}

// Claim is a request for the lease.
type Claim struct {
	Owner uuid.UUID // fresh for each claim
	Mode  string    // kept if the row has none yet; see SetMode
	// Unsure is the owner of a claim that the same relay made before, and that may have
	// succeeded although its answer was lost: such a lease is its own to take over.
	Unsure uuid.UUID
	TTL    time.Duration
}

// Event names a row and the event that it must hold.
type Event struct {
	ID      int64
	EventID uuid.UUID
}

// Run is a run of consecutive ids, all acknowledged, that ends at the row Last.
type Run struct {
	Lo   int64
	Last Event
}

// Deletion names delivered rows.
type Deletion struct {
	Runs   []Run
	Events []Event
}

// Writer is a transaction, open at the time of the look, that may have taken an id
// of outbox_events and not committed it.
type Writer struct {
	ID string
	// Next, if not empty, starts the ID of any writer that may be the same
	// transaction under another name, once this one is gone.
	Next string
	// Rest, if not empty, says that it executes nothing. The same in two looks: it has
	// executed nothing in between, so it has taken no id.
	Rest string
	// Number is the transaction's, for ReadQuery.Asleep; 0: not known, or it has none yet.
	Number uint64
}

// Writers is one look at the open writers.
type Writers struct {
	Known bool // false: the database did not tell
	Open  []Writer
	// Given: no higher id was given out before a writer was seen at rest. 0: not known.
	Given int64
}

// Source describes the installation that a relay is about to serve.
type Source struct {
	Name     string // "" until the first relay sets it
	SourceID uuid.UUID
	Standby  bool
	// Unordered, if not empty, says why this server's ids promise no order.
	Unordered string
}

// Errors that a caller tells apart.
var (
	// ErrLeaseLost: the lease row names another owner or epoch.
	ErrLeaseLost = errors.New("the lease is held by another owner")
	// ErrServerChanged: another server answers than the one that granted the lease, or the
	// same one after a restart. It may lack what that one has committed.
	ErrServerChanged = errors.New("another database server answers than before, or it was restarted")
	// ErrSequenceBehind: the next ids exist already; inserts would fail or reuse ids.
	ErrSequenceBehind = errors.New("the id sequence is below the highest id")
)

// Relay reads, deletes and leases for one installation. Safe for concurrent use.
type Relay struct {
	db     *sql.DB
	names  Names
	sql    relaySQL
	parked parkedSQL

	scheduled scheduledSQL

	// What keeps a lease: of another pool, if WithLeaseDB was called.
	leaseDB  *sql.DB
	leaseSQL relaySQL
}

// relaySQL is where the dialects differ. Each method sends the statements of one
// operation; Relay adds what they share.
type relaySQL interface {
	read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (ReadInfo, error)
	deleteRun(ctx context.Context, l Lease, r Run) (int64, error)
	deleteEvents(ctx context.Context, db execer, l Lease, events []Event) (int64, error)
	claim(ctx context.Context, tx *sql.Tx, c Claim) (bool, error)
	renew(ctx context.Context, l Lease, ttl time.Duration) (int64, error)
	inspect(ctx context.Context) (Source, error)
	writers(ctx context.Context) (Writers, error)
	sequence(ctx context.Context) error
}

// NewRelay returns the relay's side of an installation, which must be valid.
func NewRelay(db *sql.DB, n Names) (*Relay, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	r := &Relay{db: db, names: n, sql: newRelaySQL(db, n), scheduled: newScheduledSQL(n)}
	switch n.Dialect {
	case PostgreSQL:
		r.parked = postgresParked(n)
	case MySQL:
		r.parked = mysqlParked(n)
	case SQLite:
		r.parked = sqliteParked(n)
	}
	return r.WithLeaseDB(db), nil
}

// WithLeaseDB makes r keep its lease over a pool of its own: what is renewed does not
// wait for a connection behind slow reads. It is to be called before r is used.
func (r *Relay) WithLeaseDB(db *sql.DB) *Relay {
	r.leaseDB, r.leaseSQL = db, newRelaySQL(db, r.names)
	return r
}

func newRelaySQL(db *sql.DB, n Names) relaySQL {
	base := relayBase{db: db, names: n}
	switch n.Dialect {
	case PostgreSQL:
		return newPostgresRelay(base)
	case MySQL:
		return newMySQLRelay(base)
	}
	return newSQLiteRelay(base)
}

// execer is a *sql.DB or a *sql.Tx.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

type relayBase struct {
	db    *sql.DB
	names Names
}

func (b relayBase) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := b.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Table is the outbox table's name, for messages.
func (r *Relay) Table() string { return r.names.Plain(Events) }

// Read calls visit for the rows that q asks for, in ascending order of id, until
// visit returns false. On PostgreSQL and SQLite all come from one snapshot. On MySQL
// and MariaDB they do not quite: see TornReads.
func (r *Relay) Read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (ReadInfo, error) {
	return r.sql.read(ctx, q, visit)
}

// Below calls visit for the first rows with an id of at most id, limit of them at the
// most, in ascending order, until visit returns false. It reads no payloads.
func (r *Relay) Below(ctx context.Context, id int64, limit int, visit func(Event) bool) (err error) {
	rows, err := r.db.QueryContext(ctx, r.names.Expand(
		"SELECT id, event_id FROM {outbox_events} WHERE id <= "+r.names.Param(1)+" ORDER BY id LIMIT "+r.names.Param(2)), id, limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Event
		if err := rows.Scan(&e.ID, &e.EventID); err != nil {
			return err
		}
		if !visit(e) {
			return nil
		}
	}
	return rows.Err()
}

// TornReads reports whether one statement can return a row without an earlier
// committed one of the same key, as MySQL and MariaDB do: a read must then be
// followed by a second one over the gaps below its highest id (hazard inconsistent-snapshot).
func (r *Relay) TornReads() bool { return r.names.Dialect == MySQL }

// Delete removes delivered rows while the lease is held, by the server that granted it, and
// returns how many it removed. It does not tell why it removed fewer than d names: ask
// DeleteNamed. A run is removed only while its last row still is that event, and a
// single row only if it is: ids that came back after a failover name other events.
func (r *Relay) Delete(ctx context.Context, l Lease, d Deletion) (int64, error) {
	var total int64
	for _, run := range d.Runs {
		n, err := r.sql.deleteRun(ctx, l, run)
		if err != nil {
			return total, err
		}
		total += n
	}
	if len(d.Events) > 0 {
		n, err := r.sql.deleteEvents(ctx, r.db, l, d.Events)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// DeleteNamed removes delivered rows, each only if it still is that event. When it has
// returned without an error, none of them is left on the server that granted the lease:
// ErrLeaseLost and ErrServerChanged say that nothing was removed.
//
// It asks for the lease after the delete, on the same connection: what the delete passed
// over was not there. It does not lock the lease row, since the delete may wait for a row.
func (r *Relay) DeleteNamed(ctx context.Context, l Lease, events []Event) (removed int64, err error) {
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if removed, err = r.sql.deleteEvents(ctx, tx, l, events); err != nil {
			return err
		}
		return r.holds(ctx, tx, l, "")
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// Writers lists the transactions that may still fill a gap seen before the call.
func (r *Relay) Writers(ctx context.Context) (Writers, error) { return r.sql.writers(ctx) }

// Inspect describes the installation and sets the source's name if none is set.
func (r *Relay) Inspect(ctx context.Context, name string) (Source, error) {
	src, err := r.sql.inspect(ctx)
	if err != nil || src.Standby {
		return src, err
	}
	if err := r.rights(ctx); err != nil || src.Name != "" {
		return src, err
	}
	set := r.names.Expand("UPDATE {outbox_leases} SET source = " + r.names.Param(1) + " WHERE id = 1 AND source IS NULL")
	if _, err := r.db.ExecContext(ctx, set, name); err != nil {
		return src, fmt.Errorf("set the source's name: %w", err)
	}
	return r.sql.inspect(ctx) // two relays may have raced to set it
}

// rights fails if the user may not read or delete events: a relay that may not delete
// would publish every event again each time it starts. And it fails if the user may not
// park, which would stop the source at the first refused event. No statement names a row, or walks
// over deleted ones. SQLite has no users, and a delete would wait for a writer.
func (r *Relay) rights(ctx context.Context) error {
	if r.names.Dialect == SQLite {
		return nil
	}
	if _, err := r.sql.read(ctx, ReadQuery{Head: math.MaxInt64, Limit: 1}, func(*Row) bool { return false }); err != nil {
		return err
	}
	if _, err := r.sql.deleteEvents(ctx, r.db, Lease{}, []Event{{}}); err != nil {
		return err
	}
	return r.parkingRights(ctx)
}
