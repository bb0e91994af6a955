// Package outboxgorm writes events to the outbox in gorm's transaction.
//
// It promises what package outbox promises: an event is delivered if and only if the
// transaction of db commits. This can be db.Transaction, also nested (an inner rollback
// takes back the events that were added in it), or Begin and Commit by hand. It can also
// be the transaction that gorm opens around a Create, Save, Update or Delete, in a hook
// such as AfterCreate.
//
// A *gorm.DB has the same type inside and outside of a transaction, so the compiler
// cannot help. Outside of a transaction Add fails with outbox.ErrNoTransaction and writes
// nothing.
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		if err := tx.Create(&order).Error; err != nil {
//			return err
//		}
//		return outboxgorm.Add(ctx, ob, tx, outbox.Event{Topic: "orders", Key: order.ID, Payload: body})
//	})
package outboxgorm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/postroom/postroom/outbox"
)

// ErrDryRun is returned by Tx for a session in DryRun mode, in which nothing may
// reach the database.
var ErrDryRun = errors.New("the gorm session is in DryRun mode")

// Add writes events in the transaction of db, as outbox.Outbox's Add does: the IDs that
// it makes are in the caller's slice afterwards, and its errors are outbox's. The
// statement uses ctx, and not db's own context.
//
// In DryRun mode Add checks the events and writes nothing, as gorm does.
func Add(ctx context.Context, ob *outbox.Outbox, db *gorm.DB, events ...outbox.Event) error {
	tx, err := Tx(db)
	if errors.Is(err, ErrDryRun) {
		return check(ob, events)
	}
	if err != nil {
		return err
	}
	return ob.Add(ctx, tx, events...)
}

// Cancel takes back scheduled events in the transaction of db, as outbox.Outbox's Cancel
// does. In DryRun mode it does nothing and returns 0.
func Cancel(ctx context.Context, ob *outbox.Outbox, db *gorm.DB, ids ...uuid.UUID) (int64, error) {
	tx, err := Tx(db)
	if errors.Is(err, ErrDryRun) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return ob.Cancel(ctx, tx, ids...)
}

func check(ob *outbox.Outbox, events []outbox.Event) error {
	for i := range events {
		if err := ob.Check(events[i]); err != nil {
			return fmt.Errorf("outboxgorm: event %d of %d: %w", i+1, len(events), err)
		}
	}
	return nil
}

// Tx returns the transaction of db, for outbox.Outbox's Add and for code that only knows
// outbox.Tx. It fails with outbox.ErrNoTransaction if db is in no transaction, with db's
// own error if it has one (such as that of a failed Begin), and with ErrDryRun.
func Tx(db *gorm.DB) (outbox.Tx, error) {
	if db == nil || db.Statement == nil {
		return nil, fmt.Errorf("outboxgorm: a nil *gorm.DB: %w", outbox.ErrNoTransaction)
	}
	if db.Error != nil {
		return nil, fmt.Errorf("outboxgorm: an earlier step of this *gorm.DB failed: %w", db.Error)
	}
	if db.DryRun {
		return nil, fmt.Errorf("outboxgorm: %w", ErrDryRun)
	}
	pool := db.Statement.ConnPool
	if prepared, ok := pool.(*gorm.PreparedStmtTX); ok && prepared != nil && !isNil(prepared.Tx) {
		return preparedTx{Tx: prepared.Tx, prepared: prepared}, nil
	}
	tx, ok := pool.(outbox.Tx)
	if !ok || isNil(tx) {
		return nil, fmt.Errorf("outboxgorm: this *gorm.DB (over %T) is not in a transaction: use the one that "+
			"db.Transaction or db.Begin gives, or in a hook the hook's (without SkipDefaultTransaction): %w",
			pool, outbox.ErrNoTransaction)
	}
	return tx, nil
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// preparedTx is a transaction of a *gorm.DB with PrepareStmt. gorm keeps every prepared
// statement by its text, by default for an hour and without a limit. The text of an INSERT
// depends on the number of rows. So only the statement of a single event, the usual one,
// is prepared. Other statements use the transaction directly.
type preparedTx struct {
	gorm.Tx
	prepared *gorm.PreparedStmtTX
}

// singleEventArgs is the number of parameters of an INSERT of one event.
const singleEventArgs = 6

// ExecContext implements outbox.Tx.
func (t preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if len(args) == singleEventArgs {
		return t.prepared.ExecContext(ctx, query, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}
