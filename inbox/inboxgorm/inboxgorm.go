package inboxgorm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/postroom/postroom/inbox"
)

// Errors of Accept and Process, for errors.Is.
var (
	// ErrNotInTransaction means: the *gorm.DB for Accept is not in a transaction.
	ErrNotInTransaction = errors.New("the *gorm.DB is not in a transaction: pass the tx of db.Transaction(func(tx " +
		"*gorm.DB) error …), or use Process")
	// ErrInTransaction means: the *gorm.DB for Process or Session is in a transaction.
	ErrInTransaction = errors.New("the *gorm.DB is in a transaction already: pass the one that db.Transaction was " +
		"called on, or use Accept")
)

// Accept is Inbox.Accept in the transaction of tx: call it first, and do not apply the message's effect if it returns
// false. A savepoint is a part of its transaction: after a rollback to a savepoint before Accept, the message is fresh
// again.
//
// Accept returns ErrNotInTransaction if tx is not in a transaction, and tx's own error if tx has failed before. It runs
// no SQL then.
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

// Process is Inbox.Process. It passes the transaction to the handler as a *gorm.DB with db's configuration, ctx, and no
// conditions. h must return the Error of its gorm calls, and leave Commit and Rollback to Process.
//
// Process returns ErrInTransaction if db is in a transaction, because it could neither commit nor repeat that one.
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

// Session returns a *gorm.DB that writes in tx, with db's configuration, ctx, and no conditions. tx is the transaction
// that a handler of Inbox.Process, ProcessBatch or inboxkafka gets, so the writes commit together with the message's
// id. Leave Commit and Rollback to the inbox, and return every error of the database.
//
// Session returns ErrInTransaction if db is in a transaction, because that is not tx.
func Session(ctx context.Context, db *gorm.DB, tx *sql.Tx) (*gorm.DB, error) {
	conn, err := connection(db)
	if err == nil {
		if _, ended := conn.(gorm.TxCommitter); ended {
			err = ErrInTransaction
		}
	}
	if err == nil && tx == nil {
		err = errors.New("the *sql.Tx is nil: pass the one that the handler gets")
	}
	if err != nil {
		return nil, fmt.Errorf("inboxgorm: session: %w", err)
	}
	return session(ctx, db, conn, tx), nil
}

// connection returns the connection on which gorm runs its statements.
func connection(db *gorm.DB) (gorm.ConnPool, error) {
	if db == nil || db.Statement == nil {
		return nil, errors.New("the *gorm.DB is nil")
	}
	if db.Error != nil {
		return nil, fmt.Errorf("the *gorm.DB has failed before: %w", db.Error)
	}
	return db.Statement.ConnPool, nil
}

// session returns db with tx as its connection, in the way of gorm's own Begin: with PrepareStmt it uses the same store
// of prepared statements.
func session(ctx context.Context, db *gorm.DB, conn gorm.ConnPool, tx *sql.Tx) *gorm.DB {
	inTx := db.Session(&gorm.Session{Context: ctx, NewDB: true})
	inTx.Statement.ConnPool = tx
	if prepared, ok := conn.(*gorm.PreparedStmtDB); ok {
		inTx.Statement.ConnPool = &gorm.PreparedStmtTX{Tx: tx, PreparedStmtDB: prepared}
	}
	return inTx
}
