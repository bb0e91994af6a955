package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// failure is why a try did not get through.
type failure struct {
	kind    kind
	err     error
	inDoubt bool // nobody knows whether the COMMIT took effect

	ofHandler bool // a conflict that the handler met, and not a statement of ours
}

// kind says whose fault a failure is, and so what it costs.
type kind int

const (
	final    kind = iota // no repetition mends it
	conflict             // another transaction's
	outage               // the database's
	// the database's, or the handler's: the connection, from the handler's start to COMMIT's answer
	lostInHandler
	handlerFailed // the handler's
)

// afterHandler judges an error of a statement of ours that follows the handler, which may
// have ended the transaction, or gone on after an error that made PostgreSQL give it up.
func afterHandler(err error) *failure {
	switch {
	case errors.Is(err, sql.ErrTxDone):
		return &failure{kind: final, err: ErrHandlerEndedTx}
	case db.IsTxAborted(err):
		return &failure{kind: handlerFailed, err: fmt.Errorf(
			"the handler did not return the error of a statement of its own that failed: %w", err)}
	case isOutage(err):
		return &failure{kind: lostInHandler, err: err}
	}
	return databaseFailure(err)
}

// databaseFailure judges an error of a statement of ours. One that took longer than the server lets a statement take
// has waited for another transaction: ours are quick.
func databaseFailure(err error) *failure {
	switch {
	case db.IsSerialization(err), db.IsStatementLimit(err):
		return &failure{kind: conflict, err: err}
	case isOutage(err), db.IsUnavailable(err):
		return &failure{kind: outage, err: err}
	}
	return &failure{kind: final, err: err}
}

// isOutage reports whether a statement of ours did not reach the database or got no
// answer. A deadline that passed is not that of Process's context, which is looked
// at before: it is the driver's own, such as pgx's connect_timeout.
func isOutage(err error) bool {
	return db.IsConnection(err) || errors.Is(err, context.DeadlineExceeded)
}

// handlerFailure judges a handler's error by what became of the transaction, which it ends, and not
// by what the error looks like: a handler that calls another service has network
// errors of its own.
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
		// A rollback fails only on a connection that is gone. (Drivers close it, too,
		// when a context ends in the middle of a statement: that is the handler's doing.)
		return &failure{kind: lostInHandler,
			err: fmt.Errorf("%w; connection lost: %w", err, errors.Join(check, rollback))}
	}
	return &failure{kind: handlerFailed, err: err}
}

// ended judges the error of a handler whose transaction has ended without tx. MySQL ends that of a deadlock's victim,
// and SQLite's is gone after some errors, so that nothing is left of it; a handler that commits has to be found out,
// or the message would pass for a duplicate.
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

// commitFailure judges an error of COMMIT.
func commitFailure(ctx context.Context, err error) *failure {
	switch {
	case ctx.Err() != nil:
		// ErrTxDone if database/sql has rolled back before; else nobody knows.
		return &failure{kind: final, err: fmt.Errorf("commit: %w", err)}
	case errors.Is(err, sql.ErrTxDone):
		return &failure{kind: final, err: ErrHandlerEndedTx}
	case db.IsSerialization(err):
		return &failure{kind: conflict, err: fmt.Errorf("commit: %w", err)}
	case db.IsUnavailable(err):
		return &failure{kind: outage, err: fmt.Errorf("commit: %w", err), inDoubt: true}
	case isOutage(err):
		return &failure{kind: lostInHandler,
			err: fmt.Errorf("commit, and nobody knows whether it took effect: %w", err), inDoubt: true}
	}
	// A deferred constraint that does not hold, or a transaction that had failed
	// before and whose error the handler did not return.
	return &failure{kind: handlerFailed, err: fmt.Errorf("commit: %w", err), inDoubt: true}
}
