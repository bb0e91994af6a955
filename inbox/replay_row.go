package inbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/dialect"
)

// apply runs the row's message; false: it failed, or another member was there before. What is
// nobody's fault is tried again here, or returned; then the row is to be retried as before.
func (p *replay) apply(ctx context.Context, a dialect.InboxAsked, seq int64) (applied bool, err error) {
	u := p.unit()
	for {
		m, applied, failed := p.once(ctx, u, a, seq)
		if failed == nil {
			if applied {
				p.done++
				p.ib.log.Info("inbox: a parked message is applied", "message_id", m.ID, "topic", a.Topic)
			}
			return applied, nil
		}
		if ctx.Err() != nil {
			p.giveBack(ctx, seq)
			return false, failed.err
		}
		u.tally(ctx, failed, "message_id", m.ID, "topic", a.Topic)
		switch {
		case failed.kind == handlerFailed, errors.Is(failed.err, ErrHandlerEndedTx):
			p.ib.log.Error("inbox: a parked message failed again",
				append(stackOf(failed.err), "message_id", m.ID, "topic", a.Topic, "error", failed.err)...)
			return false, p.ib.store.FailParked(ctx, p.db, p.ib.consumer, seq, readable(reasonOf(failed.err)))
		case failed.kind == conflict:
			err = p.ib.sleep(ctx, conflictBackoff.after(u.conflicts))
		case failed.kind == lostInHandler:
			err = p.ib.sleep(ctx, p.ib.backoff.after(u.losses))
		default:
			err = failed.err
		}
		if err != nil {
			p.giveBack(ctx, seq)
			return false, err
		}
	}
}

// once runs the row's message in one transaction with the row's end.
func (p *replay) once(ctx context.Context, u *unit, a dialect.InboxAsked, seq int64) (m Message, applied bool, failed *failure) {
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
	if !ok || row.State != "failed" {
		return m, false, nil
	}
	m, kept, err := unpark(row)
	if err == nil && !kept {
		err = tooLargeToRun(row.Error)
	}
	if err != nil {
		return m, false, &failure{kind: handlerFailed, err: err}
	}
	// Before the handler: one that commits by itself commits this too, and is not run again.
	switch applied, err = p.ib.store.DeleteParked(ctx, tx, p.ib.consumer, seq); {
	case err != nil:
		return m, false, databaseFailure(err)
	case !applied:
		return m, false, nil
	}
	if err := p.unblock(ctx, tx, a, blocked, seq); err != nil {
		return m, false, databaseFailure(err)
	}
	if failed := u.apply(ctx, tx, []Message{m}, nil); failed != nil {
		return m, false, failed
	}
	if err := tx.Commit(); err != nil {
		return m, false, commitFailure(ctx, err)
	}
	return m, true, nil
}

// giveBack takes back an attempt that ended for no fault of the message's, so that what the operator
// asked for is not lost.
func (p *replay) giveBack(ctx context.Context, seq int64) {
	p.untilBack(ctx, seq, func(ctx context.Context) error { return p.ib.store.UnclaimParked(ctx, p.db, p.ib.consumer, seq) })
}

// untilBack tries to take back an attempt until the database is back, or ctx ends, and then once more.
func (p *replay) untilBack(ctx context.Context, seq int64, takeBack func(ctx context.Context) error) {
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
			p.ib.log.Warn("inbox: the database is out of reach, trying again until it is back", "seq", seq, "error", err)
		}
		_ = p.ib.sleep(ctx, p.ib.backoff.after(n))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = takeBack(ctx)
}

// tooLargeToRun is why a message that was not parked whole cannot be run again; the reason for which
// it was parked stays in it, once.
func tooLargeToRun(reason string) error {
	const what = "it was too large to be parked whole: handle it from its place in Kafka, then drop it ("
	if strings.HasPrefix(reason, what) {
		return errors.New(reason)
	}
	return fmt.Errorf("%s%s)", what, reason)
}
