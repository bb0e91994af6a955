package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/outbox"
)

// Dialect names a family of databases that speak the same SQL.
type Dialect = db.Dialect

// The dialects that Postroom speaks.
const (
	PostgreSQL = db.PostgreSQL // PostgreSQL 15 and later
	MySQL      = db.MySQL      // MySQL 8 and MariaDB 10.6, and later
	SQLite     = db.SQLite     // SQLite 3.35 and later
)

// Tx is an open transaction. *sql.Tx satisfies it, and so does the connection
// inside gorm's transaction. *sql.DB does not, so code that writes an event outside
// a transaction does not compile. Commit and Rollback are in the interface only for
// that: Postroom calls neither.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Commit() error
	Rollback() error
}

// Outbox writes events. It holds no connection and no state that changes, and is
// safe for use by many goroutines. Make one per outbox table and keep it.
type Outbox struct {
	insert inserter
	names  db.Names
	table  string // of events
	later  string // of scheduled events
	limits limits
	strict bool
}

// inserter is what the outbox needs of a database.
type inserter interface {
	// InsertEvents writes the rows in order. It uses one statement, and more only for
	// batches with too many parameters or bytes.
	InsertEvents(ctx context.Context, tx db.Execer, rows []store.EventRow) error
	// ScheduleEvents does the same in the table of scheduled events.
	ScheduleEvents(ctx context.Context, tx db.Execer, rows []store.EventRow) error
	// Cancel deletes scheduled events and returns how many were still there.
	Cancel(ctx context.Context, tx db.Execer, ids []uuid.UUID) (int64, error)
	// LockKeys takes a lock for each key that lasts until the transaction ends.
	LockKeys(ctx context.Context, tx db.Execer, keys []db.EventKey) error
}

// New returns an Outbox for a database of the given dialect. It fails on an
// unknown dialect and on options that cannot be used. It does not use the
// database.
func New(d Dialect, opts ...Option) (*Outbox, error) {
	cfg := config{names: db.Names{Dialect: d}, limits: defaultLimits}
	for _, opt := range opts {
		opt(&cfg)
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	insert, err := store.New(cfg.names)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return &Outbox{
		insert: insert,
		names:  cfg.names,
		table:  cfg.names.Plain(db.Events),
		later:  cfg.names.Plain(db.Scheduled),
		limits: cfg.limits,
		strict: cfg.strictKeyOrder,
	}, nil
}

// Add writes events in the transaction tx, in the order given. The relay sees them
// when the caller commits. After a rollback it never sees them. Add writes all of them
// in one statement, or in several if the database would reject so many or so large
// ones. Events with a DeliverAt need one statement more.
//
// Add fills in the ID of each event that has none, in the caller's slice. It checks
// events before any SQL: after ErrNoTopic, ErrInvalidTopic, ErrTooLarge,
// ErrReservedHeader, ErrInvalidHeader, ErrInvalidText or ErrInvalidTime nothing was
// written and the transaction is usable. After an error of the database roll back.
//
// With StrictKeyOrder it first waits for other transactions that write events of the
// same keys. It does not wait for scheduled events: the relay takes their locks when it
// moves them. Add returns early if ctx ends.
func (o *Outbox) Add(ctx context.Context, tx Tx, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if isNil(tx) {
		return fmt.Errorf("outbox: add to %s: %w", o.table, ErrNoTransaction)
	}
	all, err := o.rows(events)
	if err != nil {
		return err
	}
	rows, scheduled := split(all)
	if o.strict {
		if err := o.insert.LockKeys(ctx, tx, keysOf(rows)); err != nil {
			return fmt.Errorf("outbox: lock the keys of %d events for %s: %w", len(rows), o.table, explain(err, rows))
		}
	}
	if err := o.insert.InsertEvents(ctx, tx, rows); err != nil {
		return fmt.Errorf("outbox: write %d events to %s: %w", len(rows), o.table, explain(err, rows))
	}
	if err := o.insert.ScheduleEvents(ctx, tx, scheduled); err != nil {
		return fmt.Errorf("outbox: write %d events to %s: %w", len(scheduled), o.later, explain(err, scheduled))
	}
	return nil
}

// Check returns the error that Add would return for the event before any SQL.
func (o *Outbox) Check(e Event) error {
	_, err := o.limits.row(e)
	return err
}

// Settings are the options of New, with the defaults filled in.
type Settings struct {
	Dialect        Dialect
	TablePrefix    string
	Schema         string // PostgreSQL's; empty: the connection's search path
	StrictKeyOrder bool
	MaxPayload     int // bytes
	AnyTopic       bool
}

// Settings returns the options of New, for adapters and test helpers that use the
// same tables.
func (o *Outbox) Settings() Settings {
	return Settings{
		Dialect:        o.names.Dialect,
		TablePrefix:    o.names.Prefix,
		Schema:         o.names.Schema,
		StrictKeyOrder: o.strict,
		MaxPayload:     o.limits.payload,
		AnyTopic:       o.limits.anyTopic,
	}
}

// isNil also finds a nil *sql.Tx in the interface, whose methods would panic. A caller
// passes one if it ignores the error of BeginTx.
func isNil(tx Tx) bool {
	if tx == nil {
		return true
	}
	v := reflect.ValueOf(tx)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func (o *Outbox) rows(events []Event) ([]store.EventRow, error) {
	rows := make([]store.EventRow, len(events))
	for i := range events {
		if events[i].ID == uuid.Nil {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("outbox: make an event id: %w", err)
			}
			events[i].ID = id
		}
		row, err := o.limits.row(events[i])
		if err != nil {
			return nil, fmt.Errorf("outbox: event %d of %d: %w", i+1, len(events), err)
		}
		rows[i] = row
	}
	return rows, nil
}

func keysOf(rows []store.EventRow) []db.EventKey {
	keys := make([]db.EventKey, 0, len(rows))
	for _, r := range rows {
		if r.Key != "" {
			keys = append(keys, db.EventKey{Topic: r.Topic, Key: r.Key})
		}
	}
	return keys
}

// explain adds advice to err.
func explain(err error, rows []store.EventRow) error {
	if db.IsMissingTable(err) {
		return fmt.Errorf("%w (%w)", err, ErrNotMigrated)
	}
	return fmt.Errorf("%w%s", err, hint(err, rows))
}

// advice is the end of the errors of the database.
var advice = db.Advice{
	New: "outbox.New",
	Denied: "the database user needs INSERT on outbox_events. With StrictKeyOrder on MySQL it also needs SELECT " +
		"and UPDATE on outbox_key_locks, and for scheduled events SELECT, INSERT and DELETE on outbox_scheduled",
	TxDone: "the transaction has ended: add events before Commit",
}

// hint returns what to do about an error of the database.
func hint(err error, rows []store.EventRow) string {
	switch {
	case db.IsDuplicate(err):
		return " (an event with the same ID is scheduled already: cancel that one first, or leave the ID out)"
	case store.IsPacketTooLarge(err), store.IsConnectionLost(err) && anyLarge(rows):
		return " (an event may be larger than the server's max_allowed_packet: raise it to 64M, or lower " +
			"WithMaxPayload)"
	case store.IsOutOfLocks(err):
		return " (StrictKeyOrder takes a lock per key: raise max_locks_per_transaction, or add fewer keys per " +
			"transaction)"
	}
	return advice.Of(err)
}

// anyLarge reports whether a payload is near the smallest max_allowed_packet in use,
// 16 MiB. A driver that escapes the payload may double its size.
func anyLarge(rows []store.EventRow) bool {
	return slices.ContainsFunc(rows, func(r store.EventRow) bool { return len(r.Payload) > 7<<20 })
}
