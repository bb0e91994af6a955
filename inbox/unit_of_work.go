package inbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// transactions is what recognises that a handler has ended its transaction.
type transactions interface {
	// MarkTx marks the transaction that tx is in; known is the mark that an insert has returned.
	MarkTx(ctx context.Context, tx db.Queryer, known store.TxMark) (store.TxMark, error)
	// SameTx reports whether tx is still in that transaction. It deletes the attempts at done, if that is not nil.
	SameTx(ctx context.Context, tx db.Queryer, mark store.TxMark, done *store.Row) (bool, error)
}

// unitOfWork is what Process, ProcessBatch and Replay have in common: the steps of one transaction (begin, accept,
// runHandler, commit) for messages of one stream.
type unitOfWork struct {
	ib         *Inbox
	db         *sql.DB
	partition  *PartitionClaim // nil: the offset is not in this database
	withoutIDs bool            // no id rows: only the partition's offset says what was handled
	handler    BatchHandler
	about      []any // identifies the message or batch in the log

	// Of the current transaction.
	mark       store.TxMark // which transaction it is, if the insert of the ids has returned it
	handlerRan bool

	// Over the repetitions of a transaction.
	retries  retries
	lockWait lockWait
}

// accept returns which of ms are fresh. inDoubt says that an earlier COMMIT had no answer. Then, if no ids are written,
// the offset in the database decides (hazard lost-inbox-answer).
func (u *unitOfWork) accept(ctx context.Context, tx *sql.Tx, ms []Message, inDoubt bool) (fresh []bool, err error) {
	over := u.ib.watch(ctx, u.db, &u.lockWait, "message_id", ms[0].ID, "messages", len(ms), "topic", ms[0].Topic)
	defer func() { over(err) }()
	if u.withoutIDs {
		if inDoubt {
			if _, err := u.partition.resolve(ctx, tx); err != nil {
				return nil, err
			}
		}
		fresh = make([]bool, len(ms))
		for n, m := range ms {
			fresh[n] = !u.partition.handled(m)
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

// runHandler runs the handler in tx, which has accepted ms. Then it checks that tx is still in the same
// transaction. If not, the ids are lost, or committed without the rest of the effect. It deletes the attempts at
// done, if that is not nil.
func (u *unitOfWork) runHandler(ctx context.Context, tx *sql.Tx, ms []Message, done *store.Row) *failure {
	mark, err := u.ib.store.MarkTx(ctx, tx, u.mark)
	if err != nil {
		return databaseFailure(fmt.Errorf("mark the transaction: %w", err))
	}
	u.handlerRan = true
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

// commit moves the partition's offset, if it is kept here, and commits.
func (u *unitOfWork) commit(ctx context.Context, tx *sql.Tx, ms []Message) *failure {
	failed := u.moveAndCommit(ctx, tx, ms)
	if failed != nil && failed.kind == lostInHandler && !u.handlerRan {
		failed.kind = outage
	}
	return failed
}

func (u *unitOfWork) moveAndCommit(ctx context.Context, tx *sql.Tx, ms []Message) *failure {
	if u.partition != nil {
		if err := u.partition.move(ctx, tx, ms); err != nil {
			return afterHandler(err)
		}
	}
	if err := tx.Commit(); err != nil {
		return commitFailure(ctx, err)
	}
	if u.partition != nil {
		u.partition.moved(ms)
	}
	return nil
}

// call runs the handler. It returns a panic as an error.
func (u *unitOfWork) call(ctx context.Context, tx *sql.Tx, ms []Message) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	if err = u.handler(ctx, tx, ms); db.IsPreparedStatement(err) {
		err = fmt.Errorf("%w%s", err, hint(err))
	}
	return err
}

// begin begins a transaction.
func (u *unitOfWork) begin(ctx context.Context) (*sql.Tx, *failure) {
	u.mark, u.handlerRan = "", false
	tx, err := u.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, databaseFailure(fmt.Errorf("begin: %w", err))
	}
	return tx, nil
}
