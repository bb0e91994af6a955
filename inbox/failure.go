package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// failure is why a try failed.
type failure struct {
	kind    kind
	err     error
	inDoubt bool // it is not known whether the COMMIT took effect

	ofHandler bool // a conflict of the handler's statements, and not of ours
}

// kind says what caused a failure, and so what follows it.
type kind int

const (
	final    kind = iota // a repetition cannot help
	conflict             // another transaction was in the way
	outage               // the database is out of reach, or cannot work
	// the connection was lost between the start of the handler and the answer to COMMIT: by an outage, or by the
	// handler
	lostInHandler
	handlerFailed // the handler failed
)

// afterHandler classifies an error of one of our statements after the handler. The handler may have ended the
// transaction, or may have continued after an error that made PostgreSQL abort it.
func afterHandler(err error) *failure {
	switch {
	case errors.Is(err, sql.ErrTxDone):
		return &failure{kind: final, err: ErrHandlerEndedTx}
	case db.IsTxAborted(err):
		return &failure{kind: handlerFailed, err: fmt.Errorf(
			"the handler did not return the error of one of its statements that failed: %w", err)}
	case isOutage(err):
		return &failure{kind: lostInHandler, err: err}
	}
	return databaseFailure(err)
}

// databaseFailure classifies an error of one of our statements. If the server ended it for the time it took, it has
// waited for another transaction, because our statements are quick.
func databaseFailure(err error) *failure {
	switch {
	case db.IsSerialization(err), db.IsStatementLimit(err):
		return &failure{kind: conflict, err: err}
	case isOutage(err), db.IsUnavailable(err):
		return &failure{kind: outage, err: err}
	}
	return &failure{kind: final, err: err}
}

// isOutage reports whether one of our statements did not reach the database or got no answer. A deadline is not
// that of Process's context, which is checked before: it is the driver's own, such as pgx's connect_timeout.
func isOutage(err error) bool {
	return db.IsConnection(err) || errors.Is(err, context.DeadlineExceeded)
}

// handlerFailure classifies an error of the handler, and ends the transaction. It looks at what became of the
// transaction, and not at the kind of the error: a handler that calls another service has network errors of its
// own.
func (u *unitOfWork) handlerFailure(ctx context.Context, tx *sql.Tx, mark store.TxMark, ms []Message,
	err error) *failure {
	same, check := u.ib.store.SameTx(ctx, tx, mark, nil)
	rollback := tx.Rollback()
	ofContext := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case ctx.Err() != nil:
		return &failure{kind: final, err: err} // database/sql has rolled back by itself
	case errors.Is(rollback, sql.ErrTxDone):
		return endedByHandler(err)
	case db.IsSerialization(err):
		return &failure{kind: conflict, err: err, ofHandler: true}
	case db.IsUnavailable(err):
		return &failure{kind: outage, err: err}
	case check == nil && !same:
		return u.ended(ctx, ms, err)
	case (rollback != nil || isOutage(check)) && !ofContext:
		// A rollback fails only if the connection is gone. (Drivers also close it when a context ends in the middle
		// of a statement. Then the handler has caused it.)
		return &failure{kind: lostInHandler,
			err: fmt.Errorf("%w; connection lost: %w", err, errors.Join(check, rollback))}
	}
	return &failure{kind: handlerFailed, err: err}
}

// ended classifies the error of a handler whose transaction has ended without tx. On MySQL the victim of a deadlock
// is rolled back, and on SQLite a transaction is rolled back after some errors. A handler that has committed must
// be recognised; otherwise its message would count as a duplicate.
func (u *unitOfWork) ended(ctx context.Context, ms []Message, err error) *failure {
	if u.ib.names.Dialect == PostgreSQL {
		return endedByHandler(err)
	}
	if !u.withoutIDs {
		committed, look := u.ib.store.HasMessage(ctx, u.db, ms[0].row(u.ib.consumer))
		switch {
		case look != nil:
			return databaseFailure(fmt.Errorf("%w; look for message %q in %s: %w", err, ms[0].ID, u.ib.table, look))
		case committed:
			return endedByHandler(err)
		}
	}
	if u.ib.names.Dialect == MySQL {
		return &failure{kind: conflict, ofHandler: true,
			err: fmt.Errorf("the database has rolled the transaction back, as it does in a deadlock (the handler "+
				"hides the error: wrap it with %%w): %w", err)}
	}
	return &failure{kind: handlerFailed, err: err}
}

func endedByHandler(err error) *failure {
	return &failure{kind: final, err: fmt.Errorf("%w; it returned: %w", ErrHandlerEndedTx, err)}
}

// commitFailure classifies an error of COMMIT.
func commitFailure(ctx context.Context, err error) *failure {
	switch {
	case ctx.Err() != nil:
		// If it is ErrTxDone, database/sql has rolled back before; otherwise it is not known what COMMIT did.
		return &failure{kind: final, err: fmt.Errorf("commit: %w", err)}
	case errors.Is(err, sql.ErrTxDone):
		return &failure{kind: final, err: ErrHandlerEndedTx}
	case db.IsSerialization(err):
		return &failure{kind: conflict, err: fmt.Errorf("commit: %w", err)}
	case db.IsUnavailable(err):
		return &failure{kind: outage, err: fmt.Errorf("commit: %w", err), inDoubt: true}
	case isOutage(err):
		return &failure{kind: lostInHandler,
			err: fmt.Errorf("commit, and it is not known whether it took effect: %w", err), inDoubt: true}
	}
	// A deferred constraint does not hold, or the transaction had failed before and the handler did not return that
	// error.
	return &failure{kind: handlerFailed, err: fmt.Errorf("commit: %w", err), inDoubt: true}
}
