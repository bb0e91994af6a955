package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/postroom/postroom/inbox/internal/pacing"
	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// Dialect names a family of databases that speak the same SQL.
type Dialect = db.Dialect

// The dialects that Postroom supports.
const (
	PostgreSQL = db.PostgreSQL // PostgreSQL 15 and later
	MySQL      = db.MySQL      // MySQL 8 and MariaDB 10.6, and later
	SQLite     = db.SQLite     // SQLite 3.35 and later
)

// Tx is an open transaction. *sql.Tx implements it, and so does the connection inside gorm's transaction. *sql.DB does
// not, so a call of Accept outside a transaction does not compile. Commit and Rollback are there only for this reason:
// Accept calls neither.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Commit() error
	Rollback() error
}

// Inbox accepts messages for one consumer. It holds no connection, and its only state is the Counts and the size of the
// next batch. Make one for each handler. It is safe for concurrent use.
type Inbox struct {
	store    database
	consumer string
	attempts int
	policy   Policy

	// names of tables, for messages
	table, attemptsTable, parked string
	tables                       []string // quoted names of those that every inbox needs
	offsetsTable                 string   // quoted

	names db.Names
	days  *store.Days // nil: without daily partitions

	deadLetter func(ctx context.Context, tx *sql.Tx, m Message, attempts int, reason string) error
	backoff    backoff
	stallAfter time.Duration
	turn       time.Duration // how long a replay runs messages of one key before it changes to the next key
	log        *slog.Logger
	sleep      func(ctx context.Context, d time.Duration) error

	counts    counters
	gate      pacing.Gate
	batchSize pacing.BatchSize
}

// database is what the inbox needs of a database: one interface for each part that uses it.
type database interface {
	messageIDs
	transactions
	attemptCounts
	parking
	requests
	parkedMessages
	parkedSpans
	partitionClaims
	groupPositions
	expiredMessages
	installation
}

// installation is what the checks, the gauges and the log of waits need.
type installation interface {
	// Layout says whether inbox_events has daily partitions.
	Layout(ctx context.Context, q db.Queryer) (store.Layout, error)
	// Status reads a bounded part of the tables of one consumer.
	Status(ctx context.Context, q db.Queryer, consumer string) (store.Status, error)
	// LockWaits lists sessions that wait for a lock on a table of the inbox, the longest first.
	LockWaits(ctx context.Context, q db.Queryer) ([]store.LockWait, error)
}

// New returns an Inbox for a database of the given dialect. The consumer is the handler's name, 1 to 100 bytes.
// Each consumer accepts each message once. Two handlers with the same name would take each other's messages. The
// consumer is not Kafka's consumer group: several handlers may be part of one group. If you rename a consumer,
// every message is new to it again.
//
// New fails for an unknown dialect and for options that cannot be used. It does not use the database.
func New(d Dialect, consumer string, opts ...Option) (*Inbox, error) {
	cfg := config{
		names:      db.Names{Dialect: d},
		consumer:   consumer,
		attempts:   DefaultMaxAttempts,
		policy:     BlockKey,
		backoff:    backoff{min: DefaultBackoffMin, max: DefaultBackoffMax},
		log:        slog.Default(),
		stallAfter: stallAfter,
		turn:       maxTurn,
		sleep:      sleep,
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	statements, days, err := cfg.open()
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Inbox{
		store:    statements,
		consumer: consumer,
		attempts: cfg.attempts,
		policy:   cfg.policy,

		table:         cfg.names.Plain(db.InboxEvents),
		attemptsTable: cfg.names.Plain(db.InboxAttempts),
		parked:        cfg.names.Plain(db.InboxParked),

		tables: []string{
			cfg.names.Table(db.InboxEvents), cfg.names.Table(db.InboxAttempts), cfg.names.Table(db.InboxBlocked),
			cfg.names.Table(db.InboxParked),
		},
		offsetsTable: cfg.names.Table(db.InboxOffsets),

		names: cfg.names,
		days:  days,

		deadLetter: cfg.deadLetters(),
		backoff:    cfg.backoff,
		stallAfter: cfg.stallAfter,
		turn:       cfg.turn,
		log:        cfg.log.With("consumer", consumer),
		sleep:      cfg.sleep,

		batchSize: pacing.BatchSize{Max: MaxBatch},
	}, nil
}

// Consumer returns the name that New was given.
func (ib *Inbox) Consumer() string { return ib.consumer }

// Tables returns the dialect and the table of accepted messages, such as "postgresql:billing.inbox_events". If two
// inboxes of one consumer return different values, neither knows what the other one has handled.
func (ib *Inbox) Tables() string {
	return string(ib.names.Dialect) + ":" + ib.table
}

// Check reads from the tables that the inbox needs, so that a program learns at its start what would fail with the
// first message: a table is missing (the error names `relay migrate up`), a right is not granted, the dialect is
// wrong, or the daily partitions do not match the option (ErrLayout). It writes nothing.
//
// Tables of the release before are accepted. What they lack is disabled until `relay migrate up`, and logged as a
// warning. CheckOffsets checks what ClaimPartition needs.
func (ib *Inbox) Check(ctx context.Context, db *sql.DB) error {
	for _, table := range ib.tables {
		if err := ib.readable(ctx, db, table); err != nil {
			return err
		}
	}
	if err := ib.CheckOffsets(ctx, db); isUnusable(err) {
		ib.log.Warn("inbox: offsets cannot be kept in the database; everything else works", "error", err)
	} else if err != nil {
		return err
	}
	return ib.checkLayout(ctx, db)
}

// CheckOffsets is Check for a consumer that calls ClaimPartition: it reads only the table of offsets.
func (ib *Inbox) CheckOffsets(ctx context.Context, db *sql.DB) error {
	return ib.readable(ctx, db, ib.offsetsTable)
}

func (ib *Inbox) readable(ctx context.Context, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, "SELECT consumer FROM "+table+" WHERE 1 = 0")
	if err == nil {
		err = rows.Close()
	}
	if err != nil {
		return fmt.Errorf("inbox: read %s for consumer %q: %w%s", table, ib.consumer, err, hint(err))
	}
	return nil
}

// isUnusable reports whether a table does not exist, or the user lacks a right on it.
func isUnusable(err error) bool { return db.IsMissingTable(err) || db.IsDenied(err) }

// advice is appended to the errors of the database.
var advice = db.Advice{
	New: "inbox.New",
	MissingTable: "a table of the inbox does not exist: run `relay migrate up --only inbox` or migrations.Apply. " +
		"If all migrations are applied, the table was dropped: see `relay migrate print`",
	Denied: "the consumer's database user needs SELECT, INSERT, UPDATE and DELETE on the tables of the inbox: " +
		"see docs/tables.md",
	TxDone: "the transaction has ended: accept the message before anything else in it",
}

// hint returns what to do about an error of the database.
func hint(err error) string {
	if store.IsOtherLayout(err) {
		return " (either inbox_events has daily partitions and the inbox lacks the option WithDailyPartitions, " +
			"or the other way round: see `relay inbox partition --help`)"
	}
	return advice.Of(err)
}
