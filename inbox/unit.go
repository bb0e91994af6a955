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

	losses    int // connections lost under the handler
	conflicts int // transactions ended by the database because of others, since the last failure of another kind
	handlers  int // those of them that the handler met

	stall stall // the wait for another session's lock
}

// accept says which of ms are fresh. After a COMMIT without an answer, inDoubt, that is for the database to say
// where no ids do.
func (u *unit) accept(ctx context.Context, tx *sql.Tx, ms []Message, inDoubt bool) (_ []bool, err error) {
	over := u.ib.watch(ctx, u.db, &u.stall, "message_id", ms[0].ID, "messages", len(ms), "topic", ms[0].Topic)
	defer func() { over(err) }()
	if u.without {
		if inDoubt {
			if _, err := u.hold.resolve(ctx, tx); err != nil {
				return nil, err
			}
		}
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

// maxConflicts is how often in a row the database may end the transaction because of others, in
// the handler, before that counts as its failure.
const maxConflicts = 100

// tally judges what is nobody's fault once, and is the handler's if it does not end: a connection
// that is lost under it, and conflicts of its transaction. about says in the log whose.
func (u *unit) tally(failed *failure, about ...any) {
	switch failed.kind {
	case lostInHandler:
		u.conflicts, u.handlers = 0, 0
		if u.losses++; u.losses >= maxLosses {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the handler's statements have ended the connection %d times (one over the server's limit for a statement does, on MySQL max_allowed_packet): %w", u.losses, failed.err)
		}
	case conflict:
		const many = 10
		if u.conflicts++; u.conflicts == many {
			u.ib.log.Warn("inbox: the database ends the transaction again and again because of others (deadlock, lock timeout, busy), trying again",
				append(about, "conflicts", u.conflicts, "error", failed.err)...)
		}
		if !failed.ofHandler {
			return
		}
		if u.handlers++; u.handlers >= maxConflicts {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the handler's transaction was ended because of others %d times in a row (does it wait for a lock that its own transaction holds, by another connection?): %w", u.handlers, failed.err)
		}
	default:
		u.conflicts, u.handlers = 0, 0
	}
}
