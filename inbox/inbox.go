package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/postroom/postroom/inbox/internal/pacing"
	"github.com/postroom/postroom/internal/dialect"
)

// Dialect names a family of databases that speak the same SQL.
type Dialect = dialect.Dialect

// The dialects that Postroom speaks.
const (
	PostgreSQL = dialect.PostgreSQL // PostgreSQL 15 and later
	MySQL      = dialect.MySQL      // MySQL 8 and MariaDB 10.6, and later
	SQLite     = dialect.SQLite     // SQLite 3.35 and later
)

// Tx is an open transaction. *sql.Tx satisfies it, and so does the connection
// inside gorm's transaction; *sql.DB does not, so that accepting a message outside a
// transaction does not compile. Commit and Rollback are there for that reason
// alone: Accept calls neither.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Commit() error
	Rollback() error
}

// Inbox accepts messages for one consumer. It holds no connection and no state
// that changes but for its Counts and the size of batches that conflicts leave, and is safe for use by many goroutines;
// make one per handler.
type Inbox struct {
	store    store
	consumer string
	attempts int
	policy   Policy

	// names of tables, for messages
	table, attemptsTable, parked string
	tables                       []string // that no inbox does without, as SQL has them

	names dialect.Names
	days  *dialect.InboxDays // nil: without daily partitions

	deadLetter func(ctx context.Context, tx *sql.Tx, m Message, attempts int, reason string) error
	backoff    backoff
	stallAfter time.Duration
	turn       time.Duration // of a key in a replay, at most
	log        *slog.Logger
	sleep      func(ctx context.Context, d time.Duration) error

	counts    counters
	gate      pacing.Gate
	batchSize pacing.BatchSize
}

// store is what the inbox needs of a database.
type store interface {
	// InsertMessage reports false, without an error, when the id is there already.
	InsertMessage(ctx context.Context, tx dialect.Queryer, row dialect.InboxRow) (bool, dialect.TxMark, error)
	// InsertMessages returns the ids that were not there; no id may come twice.
	InsertMessages(ctx context.Context, tx dialect.Queryer, consumer string, rows []dialect.InboxRow) (
		map[string]bool, dialect.TxMark, error)
	// MarkTx marks the transaction, and SameTx asks later whether tx is still in it: a handler may have ended it.
	MarkTx(ctx context.Context, tx dialect.Queryer, known dialect.TxMark) (dialect.TxMark, error)
	SameTx(ctx context.Context, tx dialect.Queryer, mark dialect.TxMark, done *dialect.InboxRow) (bool, error)
	HasMessage(ctx context.Context, db dialect.Queryer, row dialect.InboxRow) (bool, error)
	// What fails, in inbox_attempts, inbox_blocked and inbox_parked.
	StartAttempt(ctx context.Context, db dialect.Queryer, row dialect.InboxRow, topic, key string, add int) (
		dialect.InboxStart, error)
	ReturnAttempt(ctx context.Context, db dialect.Execer, row dialect.InboxRow) error
	NoteAttempt(ctx context.Context, db dialect.Execer, row dialect.InboxRow, reason string) error
	DeleteAttempts(ctx context.Context, tx dialect.Execer, row dialect.InboxRow) error
	DeleteLeftAttempts(ctx context.Context, db dialect.Execer, consumer string, age time.Duration, limit int) (
		int64, error)
	StartBatch(ctx context.Context, db dialect.Queryer, consumer, lane string, size int) (
		unfinished int, blocked bool, err error)
	Park(ctx context.Context, tx dialect.Execer, row dialect.InboxParkedRow) error
	StatementLimit(ctx context.Context, tx dialect.Queryer) (int64, error)
	Block(ctx context.Context, tx dialect.Execer, consumer, topic, key string) error
	LockBlocked(ctx context.Context, tx dialect.Queryer, consumer, topic, key string) (bool, error)
	Unblock(ctx context.Context, tx dialect.Queryer, consumer, topic, key string, after int64) error
	BlockedKeys(ctx context.Context, tx dialect.Queryer, consumer, topic string, keys []string) (map[string]bool, error)
	replayStore
	// Offsets beside the data, in inbox_offsets.
	HoldPartition(ctx context.Context, tx dialect.Queryer, consumer, topic string, partition int32) (
		dialect.InboxHold, error)
	ReadHold(ctx context.Context, db dialect.Queryer, consumer, topic string, partition int32) (dialect.InboxHold, error)
	LockHold(ctx context.Context, tx dialect.Queryer, consumer, topic string, partition int32) (dialect.InboxHold, error)
	MoveOffset(ctx context.Context, tx dialect.Execer, consumer, topic string, partition int32, epoch, known, first,
		next int64) (bool, error)
	// The consumer's Kafka group, there too.
	ReadGroups(ctx context.Context, db dialect.Queryer, consumer string, topics []string, older bool) (
		[]dialect.InboxGroupPosition, error)
	InsertGroup(ctx context.Context, db dialect.Execer, consumer string, g dialect.InboxGroupPosition) (bool, error)
	ReplaceGroup(ctx context.Context, db dialect.Execer, consumer string, from, to dialect.InboxGroupPosition) (
		bool, error)
	RaiseGroups(ctx context.Context, db dialect.Execer, consumer, group string, to []dialect.InboxGroupPosition) (
		int64, error)
	// LockWaits lists sessions that wait for the tables of the rows above, the longest first.
	LockWaits(ctx context.Context, db dialect.Queryer) ([]dialect.LockWait, error)
	// LowestOffsets returns the lowest position of each partition that rows come from.
	LowestOffsets(ctx context.Context, db dialect.Queryer, consumer string) ([]dialect.InboxPosition, error)
	// ExpiredMessages returns the next rows older than age, and where to go on from.
	ExpiredMessages(ctx context.Context, db dialect.Queryer, consumer string, age time.Duration,
		from dialect.InboxCursor, limit int) ([]dialect.ExpiredMessage, dialect.InboxCursor, error)
	// OldestMessage returns the age of the oldest row, 0 if there is none.
	OldestMessage(ctx context.Context, db dialect.Queryer, consumer string) (time.Duration, error)
	// ParkedIDs returns which of the ids, one or more, are those of parked messages.
	ParkedIDs(ctx context.Context, db dialect.Queryer, consumer string, ids []string) (map[string]bool, error)
	// DeleteMessages deletes those of the ids that are still older than age.
	DeleteMessages(ctx context.Context, db dialect.Execer, consumer string, age time.Duration, ids []string) (int64, error)
}

// New returns an Inbox for a database of the given dialect. The consumer is the
// handler's name, 1 to 100 bytes: each consumer accepts each message once, and
// two handlers that share a name would take each other's messages away. It is not
// Kafka's consumer group, of which several handlers may be part. Renaming it
// makes every message new again.
//
// New fails on an unknown dialect and on options that cannot be used; it does not
// talk to the database.
func New(d Dialect, consumer string, opts ...Option) (*Inbox, error) {
	cfg := config{
		names:      dialect.Names{Dialect: d},
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
	store, days, err := cfg.open()
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Inbox{
		store:    store,
		consumer: consumer,
		attempts: cfg.attempts,
		policy:   cfg.policy,

		table:         cfg.names.Plain(dialect.InboxEvents),
		attemptsTable: cfg.names.Plain(dialect.InboxAttempts),
		parked:        cfg.names.Plain(dialect.InboxParked),

		tables: []string{
			cfg.names.Table(dialect.InboxEvents), cfg.names.Table(dialect.InboxAttempts), cfg.names.Table(dialect.InboxBlocked),
			cfg.names.Table(dialect.InboxParked),
		},

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

// Tables names the dialect and the table of accepted messages, such as
// "postgresql:billing.inbox_events". Two inboxes of one consumer name that differ in it
// keep two accounts of what was handled.
func (ib *Inbox) Tables() string {
	names := ib.store.(*dialect.Inbox).Names()
	return string(names.Dialect) + ":" + names.Plain(dialect.InboxEvents)
}

// Check reads from the tables that the inbox needs, and so tells at start what would
// fail with the first message: tables that are missing (the error names `relay migrate
// up`), rights that are not granted, another dialect, daily partitions in one and not in
// the other (ErrLayout). It writes nothing.
//
// Tables of the release before pass: what they lack is off until `relay migrate up`, and is
// logged as a warning. CheckOffsets checks what ClaimPartition needs.
func (ib *Inbox) Check(ctx context.Context, db *sql.DB) error {
	for _, table := range ib.tables {
		if err := ib.readable(ctx, db, table); err != nil {
			return err
		}
	}
	if err := ib.CheckOffsets(ctx, db); err != nil && (dialect.IsMissingTable(err) || dialect.IsDenied(err)) {
		ib.log.Warn("inbox: offsets cannot be kept in the database; everything else works", "error", err)
	} else if err != nil {
		return err
	}
	return ib.checkLayout(ctx, db)
}

// CheckOffsets is Check for a consumer that calls ClaimPartition: it reads from the table of offsets alone.
func (ib *Inbox) CheckOffsets(ctx context.Context, db *sql.DB) error {
	return ib.readable(ctx, db, ib.names.Table(dialect.InboxOffsets))
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

// hint says what to do about the errors of the database that a first user meets.
func hint(err error) string {
	switch {
	case dialect.IsRefused(err):
		return " (" + dialect.NothingListens + ")"
	case dialect.IsOtherLayout(err):
		return " (does the table have daily partitions, and the inbox the option WithDailyPartitions? Both or neither: see " +
			"`relay inbox partition --help`)"
	case dialect.IsMissingTable(err):
		return " (an inbox table is not there: run `relay migrate up` or migrations.Apply; " +
			"where all is applied already, the table is gone, and its statements are in `relay migrate print`)"
	case dialect.IsPreparedStatement(err):
		return " (a pooler such as pgbouncer in transaction mode gives each transaction another server connection: for pgx " +
			"add default_query_exec_mode=cache_describe to the connection string, or set max_prepared_statements in pgbouncer " +
			"1.21 or later)"
	case dialect.IsSyntax(err):
		return " (is this another database than the dialect that inbox.New was given?)"
	case dialect.IsDenied(err):
		return " (the consumer's database user needs SELECT, INSERT and DELETE on it, and UPDATE on the tables of what " +
			"fails: docs/tables.md)"
	case dialect.IsTxDone(err):
		return " (the transaction has ended: accept the message before anything else in it)"
	}
	return ""
}
