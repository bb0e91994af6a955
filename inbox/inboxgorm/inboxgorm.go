package inboxgorm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/postroom/postroom/inbox"
)

// Errors of Accept and Process, found with errors.Is.
var (
	// ErrNotInTransaction: Accept was given a *gorm.DB that is not in a transaction.
	ErrNotInTransaction = errors.New("the *gorm.DB is not in a transaction: pass the tx of db.Transaction(func(tx " +
		"*gorm.DB) error …), or use Process")
	// ErrInTransaction: Process was given a *gorm.DB that is in a transaction.
	ErrInTransaction = errors.New("the *gorm.DB is in a transaction already: pass the one that db.Transaction was " +
		"called on, or use Accept")
)

// Accept is Inbox.Accept in the transaction that tx is in: call it first, and when
// it reports false, do not apply the message's effect. A savepoint counts as a part of
// its transaction: rolled back to, the message is fresh again.
//
// A *gorm.DB outside a transaction is refused with ErrNotInTransaction, and one that
// has failed with its own error, both before any SQL.
func Accept(ctx context.Context, ib *inbox.Inbox, tx *gorm.DB, m inbox.Message) (fresh bool, err error) {
	conn, err := connection(tx)
	if err != nil {
		return false, fmt.Errorf("inboxgorm: accept for %q: %w", ib.Consumer(), err)
	}
	open, ok := conn.(inbox.Tx)
	if !ok {
		return false, fmt.Errorf("inboxgorm: accept for %q: %w", ib.Consumer(), ErrNotInTransaction)
	}
	return ib.Accept(ctx, open, m)
}

// Process is Inbox.Process with the handler's transaction as a *gorm.DB, which has
// db's configuration, ctx, and no conditions. h returns the Error of what it does
// and leaves Commit and Rollback to Process.
//
// A db that is in a transaction is refused with ErrInTransaction: Process could
// neither commit nor repeat it.
func Process(ctx context.Context, ib *inbox.Inbox, db *gorm.DB, m inbox.Message,
	h func(ctx context.Context, tx *gorm.DB) error) (inbox.Outcome, error) {
	conn, err := connection(db)
	if err == nil {
		if _, ended := conn.(gorm.TxCommitter); ended {
			err = ErrInTransaction
		}
	}
	if err != nil {
		return inbox.Failed, fmt.Errorf("inboxgorm: process for %q: %w", ib.Consumer(), err)
	}
	if h == nil {
		return inbox.Failed, fmt.Errorf("inboxgorm: process for %q: the handler is nil", ib.Consumer())
	}
	pool, err := db.DB()
	if err != nil {
		return inbox.Failed, fmt.Errorf("inboxgorm: process for %q: reach the *sql.DB below gorm: %w", ib.Consumer(),
			err)
	}
	return ib.Process(ctx, pool, m, func(ctx context.Context, tx *sql.Tx) error {
		return h(ctx, session(ctx, db, conn, tx))
	})
}

// Session returns db in tx, the transaction that a handler of Inbox.Process, ProcessBatch or inboxkafka is given: what
// is written through it commits with the message's id. It has db's configuration, ctx, and no conditions. Leave Commit
// and Rollback to the inbox, and return every error of the database.
// A db that is in a transaction of its own is refused with ErrInTransaction: that is another one than tx.
func Session(ctx context.Context, db *gorm.DB, tx *sql.Tx) (*gorm.DB, error) {
	conn, err := connection(db)
	if err == nil {
		if _, ended := conn.(gorm.TxCommitter); ended {
			err = ErrInTransaction
		}
	}
	if err == nil && tx == nil {
		err = errors.New("the *sql.Tx is nil: pass the one that the handler was given")
	}
	if err != nil {
		return nil, fmt.Errorf("inboxgorm: session: %w", err)
	}
	return session(ctx, db, conn, tx), nil
}

// connection returns what gorm sends its statements through.
func connection(db *gorm.DB) (gorm.ConnPool, error) {
	if db == nil || db.Statement == nil {
		return nil, errors.New("the *gorm.DB is nil")
	}
	if db.Error != nil {
		return nil, fmt.Errorf("the *gorm.DB has failed before: %w", db.Error)
	}
	return db.Statement.ConnPool, nil
}

// session returns db with tx below it, as gorm's own Begin makes it: where statements
// are prepared (PrepareStmt), through the same store of prepared ones.
func session(ctx context.Context, db *gorm.DB, conn gorm.ConnPool, tx *sql.Tx) *gorm.DB {
	inTx := db.Session(&gorm.Session{Context: ctx, NewDB: true})
	inTx.Statement.ConnPool = tx
	if prepared, ok := conn.(*gorm.PreparedStmtDB); ok {
		inTx.Statement.ConnPool = &gorm.PreparedStmtTX{Tx: tx, PreparedStmtDB: prepared}
	}
	return inTx
}
