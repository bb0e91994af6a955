// Package outboxpgx writes events to the outbox in a transaction of pgx, without
// database/sql.
//
// It promises what package outbox promises: an event is delivered if and only if the
// pgx transaction commits. It works in every query execution mode of pgx. So it also
// works behind a pooler such as pgbouncer, where pgx needs QueryExecModeExec or
// QueryExecModeSimpleProtocol.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		// … your own statements …
//		return outboxpgx.Add(ctx, ob, tx, outbox.Event{Topic: "orders", Key: id, Payload: body})
//	})
package outboxpgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postroom/postroom/outbox"
)

// ErrNotPostgreSQL is returned by Add and Cancel for an Outbox of another dialect.
var ErrNotPostgreSQL = errors.New("the outbox is not one for PostgreSQL, which is all that pgx speaks")

var errNoRows = errors.New(
	"outboxpgx: this transaction runs statements only, and returns no *sql.Rows: query the pgx.Tx itself",
)

// Add writes events in the transaction tx, which may be nested (a savepoint), as
// outbox.Outbox's Add does: the IDs that it makes are in the caller's slice afterwards,
// and its errors are outbox's.
func Add(ctx context.Context, ob *outbox.Outbox, tx pgx.Tx, events ...outbox.Event) error {
	if d := ob.Settings().Dialect; d != outbox.PostgreSQL {
		return fmt.Errorf("outboxpgx: dialect %q: %w", d, ErrNotPostgreSQL)
	}
	return ob.Add(ctx, Tx(tx), events...)
}

// Cancel takes back scheduled events in the transaction tx, as outbox.Outbox's Cancel does.
func Cancel(ctx context.Context, ob *outbox.Outbox, tx pgx.Tx, ids ...uuid.UUID) (int64, error) {
	if d := ob.Settings().Dialect; d != outbox.PostgreSQL {
		return 0, fmt.Errorf("outboxpgx: dialect %q: %w", d, ErrNotPostgreSQL)
	}
	return ob.Cancel(ctx, Tx(tx), ids...)
}

// Tx returns tx as a transaction for outbox.Outbox's Add, for code that only knows
// outbox.Tx, such as outboxwatermill.NewPublisher. It runs statements. QueryContext
// returns an error, because pgx has no *sql.Rows. Commit and Rollback are those of tx,
// without a context. If tx is nil, Tx returns nil, and Add fails with
// outbox.ErrNoTransaction.
func Tx(tx pgx.Tx) outbox.Tx {
	if v := reflect.ValueOf(tx); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	return transaction{tx}
}

type transaction struct{ tx pgx.Tx }

// ExecContext implements outbox.Tx.
func (t transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := t.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return result{tag}, nil
}

// QueryContext implements outbox.Tx. It always fails.
func (t transaction) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errNoRows
}

// Commit implements outbox.Tx.
func (t transaction) Commit() error { return t.tx.Commit(context.Background()) }

// Rollback implements outbox.Tx.
func (t transaction) Rollback() error { return t.tx.Rollback(context.Background()) }

type result struct{ tag pgconn.CommandTag }

// LastInsertId implements sql.Result. PostgreSQL has none.
func (result) LastInsertId() (int64, error) {
	return 0, errors.New("outboxpgx: PostgreSQL has no last insert id")
}

// RowsAffected implements sql.Result.
func (r result) RowsAffected() (int64, error) { return r.tag.RowsAffected(), nil }
