package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
)

// unit is the part of a transaction that Process and ProcessBatch share: messages of
// one stream, and what becomes of each.
type unit struct {
	ib      *Inbox
	db      *sql.DB
	hold    *Hold // nil: the offsets are elsewhere
	without bool  // no id rows: the hold alone tells what was handled
	handler BatchHandler

	losses int // connections lost under the handler
}

// accept says which of ms are fresh.
func (u *unit) accept(ctx context.Context, tx *sql.Tx, ms []Message) ([]bool, error) {
	if u.without {
		fresh := make([]bool, len(ms))
		for n, m := range ms {
			fresh[n] = !u.hold.handled(m)
		}
		return fresh, nil
	}
	if len(ms) == 1 {
		fresh, err := u.ib.Accept(ctx, tx, ms[0])
		return []bool{fresh}, err
	}
	return u.ib.AcceptBatch(ctx, tx, ms)
}

// finish moves the hold's offset, if there is one, and commits.
func (u *unit) finish(ctx context.Context, tx *sql.Tx, ms []Message) *failure {
	if u.hold != nil {
		if err := u.hold.move(ctx, tx, ms); err != nil {
			return afterHandler(err)
		}
	}
	if err := tx.Commit(); err != nil {
		return commitFailure(ctx, err)
	}
	if u.hold != nil {
		u.hold.moved(ms)
	}
	return nil
}

// call runs the handler; a panic is an error.
func (u *unit) call(ctx context.Context, tx *sql.Tx, ms []Message) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return u.handler(ctx, tx, ms)
}

// begin begins a transaction.
func (u *unit) begin(ctx context.Context) (*sql.Tx, *failure) {
	tx, err := u.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, databaseFailure(fmt.Errorf("begin: %w", err))
	}
	return tx, nil
}

// lost judges a connection that was lost under the handler: from the tenth time on
// it is taken for the handler's failure.
func (u *unit) lost(failed *failure) {
	if failed.kind == lostInHandler {
		if u.losses++; u.losses >= maxLosses {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the handler's statements have ended the connection %d times (one over the server's limit for a statement does, on MySQL max_allowed_packet): %w", u.losses, failed.err)
		}
	}
}
