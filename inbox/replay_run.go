package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// runOne runs the message of a row. applied is false if the message failed, or if another member was first. After a
// failure that is not the message's fault, runOne tries again or takes the attempt back. Then the row is to be
// retried as before.
func (p *replay) runOne(ctx context.Context, a store.Request, seq int64) (applied bool, err error) {
	u := p.unit()
	for {
		m, applied, failed := p.tryOne(ctx, u, a, seq)
		if failed == nil {
			if applied {
				p.done++
				p.ib.log.Info("inbox: a parked message is applied", "message_id", m.ID, "topic", a.Topic)
			}
			return applied, nil
		}
		if ctx.Err() != nil {
			p.returnRow(ctx, seq)
			return false, failed.err
		}
		u.about = []any{"message_id", m.ID, "topic", a.Topic}
		u.reclassify(ctx, failed)
		switch {
		case failed.kind == handlerFailed, errors.Is(failed.err, ErrHandlerEndedTx):
			p.ib.log.Error("inbox: a parked message failed again",
				append(stackOf(failed.err), "message_id", m.ID, "topic", a.Topic, "error", failed.err)...)
			return false, p.ib.store.FailParked(ctx, p.db, p.ib.consumer, seq, readable(reasonOf(failed.err)))
		case failed.kind == conflict:
			err = p.ib.sleep(ctx, conflictBackoff.after(u.retries.conflicts))
		case failed.kind == lostInHandler:
			err = p.ib.sleep(ctx, p.ib.backoff.after(u.retries.losses))
		default:
			err = failed.err
		}
		if err != nil {
			p.returnRow(ctx, seq)
			return false, err
		}
	}
}

// tryOne runs the message of a row and deletes the row, in one transaction.
func (p *replay) tryOne(ctx context.Context, u *unitOfWork, a store.Request, seq int64) (
	m Message, applied bool, failed *failure) {
	tx, err := p.begin(ctx)
	if err != nil {
		return m, false, databaseFailure(err)
	}
	defer func() { _ = tx.Rollback() }()
	blocked := false
	if a.Key != nil {
		if blocked, err = p.lock(ctx, tx, a); err != nil {
			return m, false, databaseFailure(err)
		}
	}
	row, ok, err := p.ib.store.ReadParked(ctx, tx, p.ib.consumer, seq)
	if err != nil {
		return m, false, databaseFailure(err)
	}
	if !ok || row.State != db.ParkedFailed {
		return m, false, nil
	}
	m, kept, err := unpark(row)
	if err == nil && !kept {
		err = tooLargeToRun(row.Error)
	}
	if err != nil {
		return m, false, &failure{kind: handlerFailed, err: err}
	}
	// Delete the row before the handler runs. A handler that commits by itself then commits this too, and does not run
	// again.
	switch applied, err = p.ib.store.DeleteParked(ctx, tx, p.ib.consumer, seq); {
	case err != nil:
		return m, false, databaseFailure(err)
	case !applied:
		return m, false, nil
	}
	if err := p.unblock(ctx, tx, a, blocked, seq); err != nil {
		return m, false, databaseFailure(err)
	}
	if failed := u.runHandler(ctx, tx, []Message{m}, nil); failed != nil {
		return m, false, failed
	}
	if err := tx.Commit(); err != nil {
		return m, false, commitFailure(ctx, err)
	}
	return m, true, nil
}

// returnRow takes back an attempt that ended for another reason than the message, so that the operator's request is
// not lost.
func (p *replay) returnRow(ctx context.Context, seq int64) {
	p.untilReturned(ctx, seq, func(ctx context.Context) error {
		return p.ib.store.UnclaimParked(
			ctx, p.db, p.ib.consumer, seq)
	})
}

// untilReturned tries to take back an attempt until the database is back or ctx ends. After the end of ctx it tries
// once more.
func (p *replay) untilReturned(ctx context.Context, seq int64, takeBack func(ctx context.Context) error) {
	for n := 1; ctx.Err() == nil; n++ {
		err := takeBack(ctx)
		if err == nil {
			return
		}
		kind := databaseFailure(err).kind
		if kind == final && ctx.Err() == nil {
			return
		}
		if n == 1 && kind == outage {
			p.ib.log.Warn("inbox: the database is out of reach, trying again until it answers", "seq", seq, "error",
				err)
		}
		_ = p.ib.sleep(ctx, p.ib.backoff.after(n))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = takeBack(ctx)
}

// tooLargeToRun is the error of a message that cannot run because it was not parked completely. It contains the
// reason for which the message was parked, once.
func tooLargeToRun(reason string) error {
	const what = "it was too large to be parked whole: handle it from its place in Kafka, then drop it ("
	if strings.HasPrefix(reason, what) {
		return errors.New(reason)
	}
	return fmt.Errorf("%s%s)", what, reason)
}

// runTogether runs the messages that were claimed in one transaction, or as many of them as share has time for. If
// the transaction fails, the attempt is taken back, and the queue goes on with fewer messages at a time. Only a
// message that fails alone is 'failed'.
func (p *replay) runTogether(ctx context.Context, q *keyQueue, c claimed, share time.Duration) (more bool, err error) {
	b := &replayBatch{replay: p, queue: q, claimed: c, share: share}
	failed := b.try(ctx)
	if failed == nil && b.last == 0 { // another member was first
		p.returnClaim(ctx, q, c)
		return false, nil
	}
	if failed == nil {
		q.last, q.conflicts = b.last, 0
		if b.last < c.last {
			q.batchSize = b.applied // every further row would be claimed and given back for nothing
		} else {
			q.grow()
		}
		p.done += b.applied
		p.ib.log.Info("inbox: parked messages are applied", "messages", b.applied, "topic", q.Topic, "from_seq",
			c.first, "to_seq", b.last)
		return true, nil
	}
	p.returnClaim(ctx, q, c)
	switch {
	case ctx.Err() != nil:
		return false, failed.err
	case failed.kind == handlerFailed, failed.kind == lostInHandler, errors.Is(failed.err, ErrHandlerEndedTx):
		p.ib.log.Warn("inbox: a transaction of several parked messages failed, running them one by one",
			"messages", c.rows, "topic", q.Topic, "from_seq", c.first, "to_seq", c.last, "error", failed.err)
		q.oneByOne, q.batchSize = c.rows, firstTogether
		return true, nil
	case failed.kind == conflict:
		q.conflicts++
		q.batchSize = max(1, c.rows/2)
		return true, p.ib.sleep(ctx, conflictBackoff.after(q.conflicts))
	}
	return false, failed.err
}

// replayBatch is one transaction of several messages.
type replayBatch struct {
	*replay
	queue *keyQueue
	claimed
	share time.Duration

	mark    store.TxMark
	applied int
	last    int64 // seq of the last that was applied; 0: the rows have changed since they were claimed
}

// try runs the transaction.
func (b *replayBatch) try(ctx context.Context) *failure {
	tx, err := b.begin(ctx)
	if err != nil {
		return databaseFailure(err)
	}
	defer func() { _ = tx.Rollback() }() // before the attempt is taken back: SQLite has one writer at a time
	blocked, err := b.lock(ctx, tx, b.queue.Request)
	if err != nil {
		return databaseFailure(err)
	}
	rows, err := b.ib.store.ReadSpan(ctx, tx, b.span(b.queue, b.first, b.claimed.last))
	if err != nil {
		return databaseFailure(err)
	}
	if !blocked || len(rows) == 0 || rows[0].Seq != b.first || rows[0].State != db.ParkedFailed {
		return nil
	}
	if failed := b.runMessages(ctx, tx, rows); failed != nil || b.last == 0 {
		return failed
	}
	return b.commit(ctx, tx)
}

// runMessages deletes the first row and runs the messages in order. The other rows are deleted at the end, in one
// statement.
func (b *replayBatch) runMessages(ctx context.Context, tx *sql.Tx, rows []store.ParkedRow) *failure {
	switch gone, err := b.ib.store.DeleteParked(ctx, tx, b.ib.consumer, b.first); {
	case err != nil:
		return databaseFailure(err)
	case !gone:
		return nil
	}
	u, begun := b.unit(), time.Now()
	mark, err := b.ib.store.MarkTx(ctx, tx, "")
	if err != nil {
		return databaseFailure(err)
	}
	b.mark = mark
	for n, row := range rows {
		if n > 0 && (row.State != db.ParkedBlocked && row.State != db.ParkedRetry || time.Since(begun) > b.share) {
			return nil // an operator has requested something else, or it is the turn of other keys
		}
		m, kept, err := unpark(row)
		if err == nil && !kept {
			err = tooLargeToRun(row.Error)
		}
		if err != nil {
			return &failure{kind: handlerFailed, err: err}
		}
		err = u.call(ctx, tx, []Message{m})
		if ctx.Err() == nil && hasEnded(ctx, tx) {
			// After a Commit the effects up to this message are there, and their rows must be deleted; after a Rollback
			// DeleteSpan deletes nothing.
			_, cleanup := b.ib.store.DeleteSpan(ctx, b.db, b.span(b.queue, b.first, row.Seq), b.first)
			return &failure{kind: final, err: errors.Join(ErrHandlerEndedTx, err, cleanup)}
		}
		if err != nil {
			return u.handlerFailure(ctx, tx, mark, []Message{m}, err)
		}
		b.applied, b.last = b.applied+1, row.Seq
	}
	return nil
}

// hasEnded reports whether tx was committed or rolled back. It does not ask the database: database/sql checks that
// first, before it sees that the statement does not belong to the transaction.
func hasEnded(ctx context.Context, tx *sql.Tx) bool {
	_, err := tx.StmtContext(ctx, &sql.Stmt{}).ExecContext(ctx)
	return errors.Is(err, sql.ErrTxDone)
}

// commit deletes the rows of the applied messages, takes the attempt at the others back, and commits.
func (b *replayBatch) commit(ctx context.Context, tx *sql.Tx) *failure {
	same, err := b.ib.store.SameTx(ctx, tx, b.mark, nil)
	if err != nil {
		return afterHandler(err)
	}
	if !same {
		return b.handlerEndedTx(ctx, tx)
	}
	n, err := b.ib.store.DeleteSpan(ctx, tx, b.span(b.queue, b.first, b.last), b.first)
	if err != nil {
		return afterHandler(err)
	}
	if n != int64(b.applied-1) {
		b.last = 0 // rows were deleted by hand
		return nil
	}
	if b.last < b.claimed.last {
		if err := b.ib.store.UnclaimSpan(ctx, tx, b.span(b.queue, b.last+1, b.claimed.last)); err != nil {
			return afterHandler(err)
		}
	}
	if err := b.unblock(ctx, tx, b.queue.Request, true, b.last); err != nil {
		return afterHandler(err)
	}
	if err := tx.Commit(); err != nil {
		return commitFailure(ctx, err)
	}
	return nil
}

// handlerEndedTx deletes the rows of messages whose handler has ended the transaction by SQL text, if it was a
// COMMIT. Then the first row is deleted and all effects are there, the later ones outside any transaction; so the
// other rows must be deleted too. If it was a ROLLBACK, all rows stay (hazard ended-transaction).
func (b *replayBatch) handlerEndedTx(ctx context.Context, tx *sql.Tx) *failure {
	_ = tx.Rollback()
	there, err := b.ib.store.HasParked(ctx, b.db, b.ib.consumer, b.first)
	if err == nil && !there {
		_, err = b.ib.store.DeleteSpan(ctx, b.db, b.span(b.queue, b.first, b.last), b.first)
	}
	return &failure{kind: final, err: errors.Join(ErrHandlerEndedTx, err)}
}

// unit runs the handler, without ids: the id was accepted when the message was parked, and says nothing about the
// transaction of a replay.
func (p *replay) unit() *unitOfWork {
	return &unitOfWork{ib: p.ib, db: p.db, withoutIDs: true,
		handler: func(ctx context.Context, tx *sql.Tx, ms []Message) error { return p.handler(ctx, tx, ms[0]) }}
}
