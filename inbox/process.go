package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Process handles m exactly once: it begins a transaction, accepts the message, runs
// h in the transaction and commits. If the message was handled before, h is not run
// and the outcome is Duplicate.
//
// h writes through tx alone, returns every error of the database that it meets (a
// transaction that the database gave up must not go on), and leaves Commit and
// Rollback to Process; on MySQL it runs no DDL, which commits by itself. It may
// be run several times, each time in a new transaction after the last was rolled
// back. Process is safe for use by many goroutines.
//
// What happens on a failure:
//
//   - h returns an error, or panics, or its writes fail at COMMIT: a failed attempt.
//     h is run again after a pause (WithBackoff), up to WithMaxAttempts times; then
//     the error is an *AttemptsError with the last one in it. A panic becomes a
//     *PanicError.
//   - The database ends the transaction because of another one (deadlock, lock
//     timeout, serialization failure): run again soon, without counting an attempt.
//   - The database cannot be reached, or goes away: tried again with the same pauses
//     until ctx ends, without counting an attempt. If it is always the handler that
//     the connection is lost under, that counts from the tenth time on: the message
//     may be what breaks it.
//   - The connection is lost before the answer to COMMIT, so that nobody knows
//     whether it took effect: the message is accepted again, which tells. If it is
//     there already, the outcome is Applied: the effect is committed, if not by this
//     transaction, then by another delivery's at the same moment.
//   - h ended the transaction: ErrHandlerEndedTx, at once.
//   - Tables that are missing, a message that is invalid, a right that is not
//     granted: the error, at once.
//
// When ctx ends, the transaction is rolled back and the error wraps ctx's. After any
// error do not acknowledge the message: delivered again, it is applied, or found to
// be a duplicate.
func (ib *Inbox) Process(ctx context.Context, db *sql.DB, m Message, h func(ctx context.Context, tx *sql.Tx) error) (Outcome, error) {
	if db == nil || h == nil {
		return Failed, fmt.Errorf("inbox: process for %q: the database or the handler is nil", ib.consumer)
	}
	if err := m.check(); err != nil {
		return Failed, fmt.Errorf("inbox: process for %q: %w", ib.consumer, err)
	}
	run := run{ib: ib, db: db, message: m, handler: h}
	return run.untilDone(ctx)
}

// maxLosses is how often the connection may be lost under the handler before that
// counts as its failure.
const maxLosses = 10

// run is one call of Process.
type run struct {
	ib      *Inbox
	db      *sql.DB
	message Message
	handler func(context.Context, *sql.Tx) error

	attempts  int  // failures of the handler
	conflicts int  // transactions ended by the database because of others, since the last failure of another kind
	outages   int  // tries in a row that did not reach the database
	losses    int  // connections lost under the handler
	inDoubt   bool // a COMMIT has no answer yet
}

func (r *run) untilDone(ctx context.Context) (Outcome, error) {
	for {
		outcome, failed := r.once(ctx)
		if failed == nil {
			r.recovered()
			return outcome, nil
		}
		if ctx.Err() != nil {
			return Failed, r.interrupted(ctx, failed.err)
		}
		pause, err := r.judge(failed)
		if err != nil {
			return Failed, err
		}
		if err := r.ib.sleep(ctx, pause); err != nil {
			return Failed, r.interrupted(ctx, failed.err)
		}
	}
}

// judge counts a failure, and says how long to pause before the next try, or why
// there is none.
func (r *run) judge(failed *failure) (time.Duration, error) {
	if failed.kind == lostInHandler {
		if r.losses++; r.losses >= maxLosses {
			failed.kind = handlerFailed
		}
	}
	switch failed.kind {
	case conflict:
		r.recovered()
		r.conflicts++
		return conflictBackoff.after(r.conflicts), nil
	case outage, lostInHandler:
		r.conflicts = 0
		if r.outages++; r.outages == 1 {
			r.ib.log.Warn("inbox: the database is out of reach, trying again until it is back",
				"message_id", r.message.ID, "error", failed.err)
		}
		return r.ib.backoff.after(r.outages), nil
	case handlerFailed:
		r.recovered()
		r.conflicts = 0
		r.attempts++
		if r.attempts >= r.ib.attempts {
			return 0, &AttemptsError{Consumer: r.ib.consumer, MessageID: r.message.ID, Attempts: r.attempts, Err: failed.err}
		}
		pause := r.ib.backoff.after(r.attempts)
		r.ib.log.Warn("inbox: the handler failed, running it again", "message_id", r.message.ID,
			"attempt", r.attempts, "max_attempts", r.ib.attempts, "pause", pause, "error", failed.err)
		return pause, nil
	default:
		return 0, fmt.Errorf("inbox: process message %q of consumer %q: %w", r.message.ID, r.ib.consumer, failed.err)
	}
}

// recovered notes that the database answers.
func (r *run) recovered() {
	if r.outages > 0 {
		r.ib.log.Info("inbox: the database is back", "message_id", r.message.ID, "tries", r.outages)
	}
	r.outages = 0
}

// interrupted is the error for a ctx that ended. The failure beside it says what
// Process was busy with.
func (r *run) interrupted(ctx context.Context, err error) error {
	if cause := ctx.Err(); !errors.Is(err, cause) {
		err = fmt.Errorf("%w; before that: %w", cause, err)
	}
	return fmt.Errorf("inbox: process message %q of consumer %q: interrupted: %w", r.message.ID, r.ib.consumer, err)
}
