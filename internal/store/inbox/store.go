package inbox

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Position is where Kafka had a message.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Row is a message of a consumer: a row to insert into inbox_events, and the key of its row in inbox_attempts.
type Row struct {
	Consumer  string
	MessageID string
	Position  *Position // nil: NULL
}

// Store reads and writes the inbox tables of one installation. Safe for concurrent use.
type Store struct {
	names    db.Names
	hasDaily bool // inbox_events has daily partitions

	sql      statements
	postgres postgresStatements // filled on PostgreSQL alone, and so on
	daily    dailyStatements
	count    countStatements
	mysql    mysqlStatements
}

// New returns the inbox's statements for n, which it validates.
func New(n db.Names) (*Store, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	s := &Store{names: n}
	own := db.For(n.Dialect,
		[]any{&s.sql, &s.postgres, &s.daily},
		[]any{&s.sql, &s.count, &s.mysql},
		[]any{&s.sql, &s.count})
	return s, db.Load(files, n, own...)
}

// NewDaily is New for a table in daily partitions, which PostgreSQL alone has.
func NewDaily(n db.Names) (*Store, error) {
	s, err := New(n)
	if err != nil {
		return nil, err
	}
	if n.Dialect != db.PostgreSQL {
		return nil, errNoDays
	}
	s.hasDaily = true
	s.sql.InsertMessage, s.sql.InsertMessages = s.daily.InsertMessageDaily, s.daily.InsertMessagesDaily
	s.postgres.StartAttempt = s.daily.StartAttemptDaily
	return s, nil
}

var errNoDays = errors.New("daily partitions: only PostgreSQL has them")

// list writes count parameters in parentheses, for a statement that has `after` parameters before them.
func (s *Store) list(after, count int) db.SQL {
	var b strings.Builder
	s.names.WriteParams(&b, after, count)
	return db.SQL(b.String())
}

// keys are arguments for columns of names and keys.
func (s *Store) keys(texts ...string) []any {
	args := make([]any, len(texts))
	for i, text := range texts {
		args[i] = s.names.KeyArg(text)
	}
	return args
}

// positionArgs are the three columns of a position.
func (s *Store) positionArgs(p *Position) []any {
	if p == nil {
		return []any{nil, nil, nil}
	}
	return []any{s.names.KeyArg(p.Topic), p.Partition, p.Offset}
}

// nullPosition scans the three columns of a position.
type nullPosition struct {
	topic     sql.NullString
	partition sql.NullInt32
	offset    sql.NullInt64
}

// value returns the position, nil for NULL.
func (p nullPosition) value() *Position {
	if !p.topic.Valid || !p.partition.Valid || !p.offset.Valid {
		return nil
	}
	return &Position{Topic: p.topic.String, Partition: p.partition.Int32, Offset: p.offset.Int64}
}

// one reads the single row of a query into dest; without a row the error is sql.ErrNoRows.
func one(ctx context.Context, q db.Querier, dest []any, query string, args ...any) error {
	found := false
	err := db.Each(ctx, q, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(dest...)
	}, query, args...)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}

// exists reports whether a query has a row.
func exists(ctx context.Context, q db.Querier, query string, args ...any) (bool, error) {
	var n int
	err := one(ctx, q, []any{&n}, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// exec runs a statement.
func exec(ctx context.Context, q db.Execer, query string, args ...any) error {
	_, err := q.ExecContext(ctx, query, args...)
	return err
}

// affected runs a statement and returns the number of rows that it changed.
func affected(ctx context.Context, q db.Execer, query string, args ...any) (int64, error) {
	return db.Affected(q.ExecContext(ctx, query, args...))
}

// texts returns the single column of a query.
func texts(ctx context.Context, q db.Querier, query string, args ...any) ([]string, error) {
	return db.Rows(ctx, q, func(text *string) []any { return []any{text} }, query, args...)
}
