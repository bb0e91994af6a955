package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/postroom/postroom/internal/dialect"
)

// failure is why a try did not get through.
type failure struct {
	kind kind
	err  error
}

// kind says whose fault a failure is, and so what it costs.
type kind int

const (
	final         kind = iota // no repetition mends it
	conflict                  // another transaction's
	outage                    // the database's
	lostInHandler             // the database's, or the handler's
	handlerFailed             // the handler's
)

// once runs one transaction. A nil failure means that the message is dealt with.
func (r *run) once(ctx context.Context) (Outcome, *failure) {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return Failed, databaseFailure(fmt.Errorf("begin: %w", err))
	}
	// For a handler that ends its goroutine (runtime.Goexit); else it finds the
	// transaction ended.
	defer func() { _ = tx.Rollback() }()

	fresh, err := r.ib.Accept(ctx, tx, r.message)
	if err != nil {
		return Failed, databaseFailure(err)
	}
	if !fresh {
		return r.duplicate(), nil
	}
	// Our insert has succeeded, so a COMMIT without an answer did not take effect.
	r.inDoubt = false

	if err := r.callHandler(ctx, tx); err != nil {
		return Failed, handlerFailure(ctx, err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return Failed, r.commitFailure(ctx, err)
	}
	return Applied, nil
}

// duplicate decides what a row that was there before Accept means. After a COMMIT
// without an answer it is most likely our own; the effect is committed either way.
func (r *run) duplicate() Outcome {
	if r.inDoubt {
		return Applied
	}
	return Duplicate
}

func (r *run) callHandler(ctx context.Context, tx *sql.Tx) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return r.handler(ctx, tx)
}

// databaseFailure judges an error of a statement of ours.
func databaseFailure(err error) *failure {
	switch {
	case dialect.IsSerialization(err):
		return &failure{conflict, err}
	case isOutage(err):
		return &failure{outage, err}
	}
	return &failure{final, err}
}

// isOutage reports whether a statement of ours did not reach the database or got no
// answer. A deadline that passed is not that of Process's context, which is looked
// at before: it is the driver's own, such as pgx's connect_timeout.
func isOutage(err error) bool {
	return dialect.IsConnection(err) || errors.Is(err, context.DeadlineExceeded)
}

// handlerFailure judges a handler's error by what became of the transaction, and not
// by what the error looks like: a handler that calls another service has network
// errors of its own.
func handlerFailure(ctx context.Context, err, rollback error) *failure {
	switch {
	case ctx.Err() != nil:
		return &failure{final, err} // database/sql has rolled back by itself
	case errors.Is(rollback, sql.ErrTxDone):
		return &failure{final, fmt.Errorf("%w; it returned: %w", ErrHandlerEndedTx, err)}
	case dialect.IsSerialization(err):
		return &failure{conflict, err}
	case rollback != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		// A rollback fails only on a connection that is gone. (Drivers close it, too,
		// when a context ends in the middle of a statement: that is the handler's doing.)
		return &failure{lostInHandler, fmt.Errorf("%w; connection lost: %w", err, rollback)}
	}
	return &failure{handlerFailed, err}
}

func (r *run) commitFailure(ctx context.Context, err error) *failure {
	switch {
	case ctx.Err() != nil:
		// ErrTxDone if database/sql has rolled back before; else nobody knows.
		return &failure{final, fmt.Errorf("commit: %w", err)}
	case errors.Is(err, sql.ErrTxDone):
		return &failure{final, ErrHandlerEndedTx}
	case dialect.IsSerialization(err):
		return &failure{conflict, fmt.Errorf("commit: %w", err)}
	}
	r.inDoubt = true
	if isOutage(err) {
		return &failure{outage, fmt.Errorf("commit, and nobody knows whether it took effect: %w", err)}
	}
	// A deferred constraint that does not hold, or a transaction that had failed
	// before and whose error the handler did not return.
	return &failure{handlerFailed, fmt.Errorf("commit: %w", err)}
}
