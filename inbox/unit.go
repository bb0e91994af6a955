package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// unit is the part of a transaction that Process and ProcessBatch share: messages of
// one stream, and what becomes of each.
type unit struct {
	ib      *Inbox
	db      *sql.DB
	claim   *PartitionClaim // nil: the offsets are elsewhere
	without bool            // no id rows: the claim alone tells what was handled
	handler BatchHandler
	mark    dialect.TxMark // of the transaction under way, where the insert of the ids told it
	ran     bool           // the handler has run in it

	losses    int // connections lost in a row under the handler, to a database that is there
	conflicts int // transactions ended by the database because of others, since the last failure of another kind
	handlers  int // those of them that the handler met

	stall stall // the wait for another session's lock
}

// accept says which of ms are fresh. After a COMMIT without an answer, inDoubt, that is for the database to say
// where no ids do.
func (u *unit) accept(ctx context.Context, tx *sql.Tx, ms []Message, inDoubt bool) (fresh []bool, err error) {
	over := u.ib.watch(ctx, u.db, &u.stall, "message_id", ms[0].ID, "messages", len(ms), "topic", ms[0].Topic)
	defer func() { over(err) }()
	if u.without {
		if inDoubt {
			if _, err := u.claim.resolve(ctx, tx); err != nil {
				return nil, err
			}
		}
		fresh = make([]bool, len(ms))
		for n, m := range ms {
			fresh[n] = !u.claim.handled(m)
		}
		return fresh, nil
	}
	if len(ms) == 1 {
		fresh = make([]bool, 1)
		fresh[0], u.mark, err = u.ib.accept(ctx, tx, ms[0])
	} else {
		fresh, u.mark, err = u.ib.acceptBatch(ctx, tx, ms)
	}
	return fresh, err
}

// apply runs the handler in tx, which has accepted ms, and sees to it that tx is still in that transaction: else the
// ids are gone, or committed without the rest of the effect. It forgets the attempts at done, if that is a row.
func (u *unit) apply(ctx context.Context, tx *sql.Tx, ms []Message, done *dialect.InboxRow) *failure {
	mark, err := u.ib.store.MarkTx(ctx, tx, u.mark)
	if err != nil {
		return databaseFailure(fmt.Errorf("mark the transaction: %w", err))
	}
	u.ran = true
	if err := u.call(ctx, tx, ms); err != nil {
		return u.handlerFailure(ctx, tx, mark, ms, err)
	}
	same, err := u.ib.store.SameTx(ctx, tx, mark, done)
	switch {
	case err != nil:
		return afterHandler(fmt.Errorf("after the handler: %w", err))
	case !same:
		return &failure{kind: final, err: ErrHandlerEndedTx}
	}
	return nil
}

// finish moves the claim's offset, if there is one, and commits.
func (u *unit) finish(ctx context.Context, tx *sql.Tx, ms []Message) *failure {
	failed := u.commit(ctx, tx, ms)
	if failed != nil && failed.kind == lostInHandler && !u.ran {
		failed.kind = outage
	}
	return failed
}

func (u *unit) commit(ctx context.Context, tx *sql.Tx, ms []Message) *failure {
	if u.claim != nil {
		if err := u.claim.move(ctx, tx, ms); err != nil {
			return afterHandler(err)
		}
	}
	if err := tx.Commit(); err != nil {
		return commitFailure(ctx, err)
	}
	if u.claim != nil {
		u.claim.moved(ms)
	}
	return nil
}

// call runs the handler; a panic is an error.
func (u *unit) call(ctx context.Context, tx *sql.Tx, ms []Message) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	if err = u.handler(ctx, tx, ms); dialect.IsPreparedStatement(err) {
		err = fmt.Errorf("%w%s", err, hint(err))
	}
	return err
}

// begin begins a transaction.
func (u *unit) begin(ctx context.Context) (*sql.Tx, *failure) {
	u.mark, u.ran = "", false
	tx, err := u.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, databaseFailure(fmt.Errorf("begin: %w", err))
	}
	return tx, nil
}

// maxConflicts is how often in a row the database may end the transaction because of others, in
// the handler, before that counts as its failure.
const maxConflicts = 100

// maxLosses is how often in a row the connection may be lost under the handler, while the database is there, before
// that counts as its failure. The first time may be a failover's doing, or the network's.
const maxLosses = 2

// reachTimeout is how long a database that is there may take to answer.
const reachTimeout = 5 * time.Second

// reachable reports whether the database answers a new connection right away.
func (u *unit) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var one int
	return u.db.QueryRowContext(ctx, "SELECT 1").Scan(&one) == nil
}

// tally judges what is nobody's fault once, and is the handler's if it does not end: a connection
// that is lost under it, and conflicts of its transaction. about says in the log whose.
func (u *unit) tally(ctx context.Context, failed *failure, about ...any) {
	if failed.kind == lostInHandler {
		u.tallyLoss(ctx, failed)
	}
	if failed.kind != conflict {
		u.conflicts, u.handlers = 0, 0
		return
	}
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
}

// tallyLoss tells a handler that the server cut off from a database that has gone. Of a server that says which of
// its limits it was there is no doubt; else it is the handler if the database is there, and that is so again when the
// handler has run once more.
func (u *unit) tallyLoss(ctx context.Context, failed *failure) {
	switch {
	case dialect.IsTimeLimit(failed.err):
		failed.kind = handlerFailed
		failed.err = fmt.Errorf("the server closed the connection because the transaction stood idle or open for too long while the handler ran: %w", failed.err)
	case !u.reachable(ctx):
		failed.kind = outage
	default:
		if u.losses++; u.losses >= maxLosses {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the connection was lost %d times in a row while the handler ran, and the database is there (does the handler take longer than the server lets a transaction be idle, or send a statement over its limit, on MySQL max_allowed_packet?): %w", u.losses, failed.err)
		}
	}
}
