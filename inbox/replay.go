package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/dialect"
)

// maxAsked is how many rows one call of Replay looks at.
const maxAsked = 1_000

// Replay does what operators asked for by `relay inbox parked retry` and `drop`: it runs
// h for the parked messages of this consumer that are to be retried, and deletes those that are to
// be dropped. A key's messages run in order, those that wait behind the first after it by
// themselves, until one fails; the last one lets the key go on. It returns how many
// messages it applied or dropped.
//
// Each message is one transaction: h's effect and the end of the parked row commit together. A
// message that fails, or that kills the process, is 'failed' again, and waits for another retry.
// Run it about every second beside the consumer; in any number of processes.
// The error is the database's or ctx's; a handler's is in the row and in the log.
func (ib *Inbox) Replay(ctx context.Context, db *sql.DB, h Handler) (int, error) {
	if db == nil || h == nil {
		return 0, fmt.Errorf("inbox: replay for %q: the database or the handler is nil", ib.consumer)
	}
	asked, err := ib.store.AskedParked(ctx, db, ib.consumer, maxAsked)
	if err != nil {
		return 0, fmt.Errorf("inbox: read %s for %q: %w%s", ib.parked, ib.consumer, err, hint(err))
	}
	p := &replay{ib: ib, db: db, handler: h}
	seen := map[string]bool{}
	for _, a := range asked {
		if a.Key != nil {
			if name := a.Topic + "\x00" + *a.Key; seen[name] {
				continue
			} else {
				seen[name] = true
			}
		}
		if err := p.key(ctx, a); err != nil {
			return p.done, fmt.Errorf("inbox: replay %s for %q: %w%s", ib.parked, ib.consumer, err, hint(err))
		}
	}
	return p.done, nil
}

// replay is one call of Replay.
type replay struct {
	ib      *Inbox
	db      *sql.DB
	handler Handler
	done    int
}

// key runs a row that has no key, or all that a key has to run.
func (p *replay) key(ctx context.Context, a dialect.InboxAsked) error {
	for {
		seq, more, err := p.next(ctx, a)
		if err != nil || !more {
			return err
		}
		ok, err := p.apply(ctx, a, seq)
		if err != nil || !ok || a.Key == nil {
			return err
		}
	}
}

// inTx runs fn in a transaction, again if another one was in the way.
func (p *replay) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	for n := 1; ; n++ {
		err := func() error {
			tx, err := p.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			if err := fn(tx); err != nil {
				return err
			}
			return tx.Commit()
		}()
		if err == nil || !dialect.IsSerialization(err) {
			return err
		}
		if err := p.ib.sleep(ctx, conflictBackoff.after(n)); err != nil {
			return err
		}
	}
}

// next begins an attempt at the row whose turn it is, and commits that; more is false if there is none.
// What is to be dropped before it, is.
func (p *replay) next(ctx context.Context, a dialect.InboxAsked) (seq int64, more bool, err error) {
	dropped := 0
	err = p.inTx(ctx, func(tx *sql.Tx) error {
		dropped, more = 0, false
		for {
			var state string
			if seq, state, more, err = p.head(ctx, tx, a); err != nil || !more {
				return err
			}
			if state != "drop" {
				more, err = p.ib.store.ClaimParked(ctx, tx, p.ib.consumer, seq, state)
				return err
			}
			gone, err := p.remove(ctx, tx, a, seq)
			if err != nil {
				return err
			}
			if gone {
				dropped++
				p.ib.log.Warn("inbox: dropped a parked message", "seq", seq, "topic", a.Topic)
			}
			if a.Key == nil {
				more = false
				return nil
			}
		}
	})
	p.done += dropped
	return seq, more && err == nil, err
}

// head returns the row whose turn it is, of those that may run: its key's first, or, where the key
// does not stand still, the first that was asked for.
func (p *replay) head(ctx context.Context, tx *sql.Tx, a dialect.InboxAsked) (seq int64, state string, ok bool, err error) {
	if a.Key == nil {
		row, ok, err := p.ib.store.ReadParked(ctx, tx, p.ib.consumer, a.Seq)
		return a.Seq, row.State, ok && (row.State == "retry" || row.State == "drop"), err
	}
	blocked, err := p.ib.store.LockBlocked(ctx, tx, p.ib.consumer, a.Topic, *a.Key)
	if err != nil {
		return 0, "", false, err
	}
	seq, state, ok, err = p.ib.store.FirstParked(ctx, tx, p.ib.consumer, a.Topic, *a.Key, !blocked)
	return seq, state, ok && state != "failed", err
}

// apply runs the row's message in one transaction with its end; false: it failed, or another
// member was there before.
func (p *replay) apply(ctx context.Context, a dialect.InboxAsked, seq int64) (applied bool, err error) {
	var m Message
	var ownErr error // the handler's, as opposed to the database's
	err = p.inTx(ctx, func(tx *sql.Tx) error {
		applied, ownErr = false, nil
		if a.Key != nil {
			if _, err := p.ib.store.LockBlocked(ctx, tx, p.ib.consumer, a.Topic, *a.Key); err != nil {
				return err
			}
		}
		row, ok, err := p.ib.store.ReadParked(ctx, tx, p.ib.consumer, seq)
		if err != nil || !ok || row.State != "failed" {
			return err
		}
		var kept bool
		if m, kept, err = unpark(row); err == nil && !kept {
			err = tooLargeToRun(row.Error)
		}
		if err == nil {
			// Before the handler: one that commits by itself commits this too, and is not run again.
			if applied, err = p.remove(ctx, tx, a, seq); err != nil || !applied {
				return err
			}
			u := unit{handler: func(ctx context.Context, tx *sql.Tx, ms []Message) error { return p.handler(ctx, tx, ms[0]) }}
			err = u.call(ctx, tx, []Message{m})
		}
		if err != nil {
			ownErr = err
			return err
		}
		return nil
	})
	if errors.Is(err, sql.ErrTxDone) {
		err, ownErr = ErrHandlerEndedTx, ErrHandlerEndedTx
	}
	switch {
	case err == nil:
		if applied {
			p.done++
			p.ib.log.Info("inbox: a parked message is applied", "message_id", m.ID, "topic", a.Topic)
		}
		return applied, nil
	case ctx.Err() != nil || ownErr == nil && isOutage(err):
		p.giveBack(ctx, seq)
		return false, err
	}
	p.ib.log.Error("inbox: a parked message failed again", "message_id", m.ID, "topic", a.Topic, "error", err)
	return false, p.ib.store.FailParked(ctx, p.db, p.ib.consumer, seq, readable(err.Error()))
}

// giveBack takes back an attempt that ended for no fault of the message's.
func (p *replay) giveBack(ctx context.Context, seq int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = p.ib.store.UnclaimParked(ctx, p.db, p.ib.consumer, seq)
}

// remove deletes the row, and lets its key go on if it was the last.
func (p *replay) remove(ctx context.Context, tx *sql.Tx, a dialect.InboxAsked, seq int64) (bool, error) {
	gone, err := p.ib.store.DeleteParked(ctx, tx, p.ib.consumer, seq)
	if err != nil || !gone || a.Key == nil {
		return gone, err
	}
	return true, p.ib.store.Unblock(ctx, tx, p.ib.consumer, a.Topic, *a.Key)
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
