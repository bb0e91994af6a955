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
//     the message is parked with the last error in it, and the outcome is Parked. A
//     panic becomes a *PanicError.
//   - h kills the process: a failed attempt too, for attempts are counted in
//     inbox_attempts before h is run. After one that did not come back the message runs with
//     no other handler of this Inbox beside it, so that others are not blamed
//     with it; those that run it waits for, and others wait for it, for up to 10 s each. (So h must not call
//     Process of its own Inbox.)
//   - A message of the same topic and key is parked (BlockKey): this one is parked
//     behind it, without an attempt, and the outcome is Parked.
//   - The message has no Topic, or the policy is Halt: nothing is parked or counted in the
//     database; after the last attempt the error is an *AttemptsError with its error in it.
//   - The database ends the transaction because of another one (deadlock, lock
//     timeout, serialization failure): run again soon, without counting an attempt. If
//     the handler meets that a hundred times in a row, it counts from then on.
//   - The database cannot be reached, goes away, is read-only or has no room left: tried again with the same pauses
//     until ctx ends, without counting an attempt.
//   - The connection is lost while h runs, and the database is there: run again. It counts as an attempt from the second
//     time in a row on, and at once where the server says that the transaction was idle or open for too long: h may be what
//     takes too long, or breaks it.
//   - The connection is lost before the answer to COMMIT, so that nobody knows
//     whether it took effect: the message is accepted again, which tells. If it is
//     there already, the outcome is what that COMMIT was for, Applied or Parked.
//   - h ended the transaction, by a method or in SQL, or went on after the database had: ErrHandlerEndedTx, at once.
//   - Tables that are missing, a message that is invalid, a right that is not
//     granted: the error, at once.
//
// The transaction has the isolation level that is the database's default; a stricter one than READ
// COMMITTED costs repetitions and no more.
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
	run := newRun(unit{ib: ib, db: db, handler: func(ctx context.Context, tx *sql.Tx, _ []Message) error { return h(ctx, tx) }}, m)
	outcome, err := run.untilDone(ctx)
	ib.counted(outcome)
	return outcome, err
}

// run handles one message.
type run struct {
	unit
	message Message
	parks   bool // attempts are counted in the database, and the message can be parked

	attempts int     // at the message; where they are counted in the database, the one under way included
	count    bool    // the next start is an attempt, and not the repetition of one that was nobody's fault
	counted  bool    // the one under way is counted in the database
	outages  int     // tries in a row that did not reach the database
	tries    int     // transactions begun
	inDoubt  bool    // a COMMIT has no answer yet
	intended Outcome // of that COMMIT
	giveUp   string  // why the message is to be parked
	killed   bool    // the last attempt did not come back
	begun    bool    // a start was counted in this run
	suspect  bool    // an attempt before this run did not come back
	alone    bool    // so it runs with no other handler beside it
	out      func()  // leaves the gate; nil: it is outside
}

func newRun(u unit, m Message) *run {
	u.losses, u.conflicts, u.handlers = 0, 0, 0 // those of a batch were not this message's
	r := &run{unit: u, message: m, parks: u.ib.parks(m), count: true}
	if m.Err != nil {
		r.giveUp = m.Err.Error()
	}
	return r
}

// parks reports whether m can be set aside.
func (ib *Inbox) parks(m Message) bool { return m.Topic != "" && ib.policy != Halt }

func (r *run) untilDone(ctx context.Context) (Outcome, error) {
	if r.message.Err != nil && !r.parks {
		return Failed, &AttemptsError{Consumer: r.ib.consumer, MessageID: r.message.ID, Err: r.message.Err}
	}
	for {
		outcome, failed := r.once(ctx)
		if failed == nil {
			r.recovered()
			r.report(outcome)
			return outcome, nil
		}
		if ctx.Err() != nil {
			r.returnAttempt(ctx)
			return Failed, r.interrupted(ctx, failed.err)
		}
		pause, err := r.judge(ctx, failed)
		if err != nil {
			return Failed, err
		}
		if err := r.ib.sleep(ctx, pause); err != nil {
			r.returnAttempt(ctx)
			return Failed, r.interrupted(ctx, failed.err)
		}
	}
}

// enter waits for the gate.
func (r *run) enter(ctx context.Context) *failure {
	out, err := r.ib.gate.enter(ctx, r.alone)
	if err != nil {
		return &failure{kind: final, err: err}
	}
	r.out = out
	return nil
}

func (r *run) leave() {
	if r.out != nil {
		r.out()
		r.out = nil
	}
}

// isolate has a message whose last attempt did not come back run with no handler of the
// inbox beside it. Else, if it does kill the process, those that run at that moment lose an
// attempt as well: after each restart they would be the same, and in the end parked. So while it
// waits for its turn it gives its own attempt back: it may be the innocent one.
func (r *run) isolate(ctx context.Context) *failure {
	r.ib.log.Warn("inbox: an earlier attempt at a message was not brought to its end (its process was killed in it, or stopped after it), running it alone",
		"message_id", r.message.ID, "attempt", r.attempts, "max_attempts", r.ib.attempts)
	r.returnAttempt(ctx)
	r.counted, r.alone = false, true
	r.leave()
	return r.enter(ctx)
}

// judge counts a failure, and says how long to pause before the next try, or why
// there is none.
func (r *run) judge(ctx context.Context, failed *failure) (time.Duration, error) {
	r.inDoubt = r.inDoubt || failed.inDoubt
	r.tally(ctx, failed, "message_id", r.message.ID)
	r.count = failed.kind == handlerFailed
	switch failed.kind {
	case conflict:
		r.recovered()
		return conflictBackoff.after(r.conflicts), nil
	case outage:
		if r.outages++; r.outages == 1 {
			r.ib.log.Warn("inbox: the database is out of reach or cannot work, trying again until it is back",
				"message_id", r.message.ID, "error", failed.err)
		}
		return r.ib.backoff.after(r.outages), nil
	case lostInHandler:
		r.recovered()
		r.ib.log.Warn("inbox: the connection was lost while the handler ran, running it again", "message_id", r.message.ID, "error", failed.err)
		return r.ib.backoff.after(r.losses), nil
	case handlerFailed:
		r.recovered()
		r.counted = false // if ctx ends in the pause, it was an attempt all the same
		return r.failedAttempt(ctx, failed.err)
	default:
		if errors.Is(failed.err, ErrHandlerEndedTx) { // and may have committed it
			r.forget(ctx)
		} else {
			r.returnAttempt(ctx)
		}
		return 0, fmt.Errorf("inbox: process message %q of consumer %q: %w", r.message.ID, r.ib.consumer, failed.err)
	}
}

// failedAttempt is judge for a failure of the handler.
func (r *run) failedAttempt(ctx context.Context, err error) (time.Duration, error) {
	if r.giveUp != "" {
		return 0, fmt.Errorf("inbox: park message %q of consumer %q in %s: %w", r.message.ID, r.ib.consumer, r.ib.parked, err)
	}
	if !r.parks {
		r.attempts++
	}
	if r.attempts >= r.ib.attempts {
		if !r.parks {
			return 0, &AttemptsError{Consumer: r.ib.consumer, MessageID: r.message.ID, Attempts: r.attempts, Err: err}
		}
		r.giveUp = reasonOf(err)
		return 0, nil
	}
	if r.parks {
		// Only for people, and for the reason if a later attempt does not come back.
		_ = r.ib.store.NoteAttempt(ctx, r.db, r.message.row(r.ib.consumer), readable(reasonOf(err)))
	}
	pause := r.ib.backoff.after(r.attempts)
	r.ib.log.Warn("inbox: the handler failed, running it again", append(stackOf(err), "message_id", r.message.ID,
		"attempt", r.attempts, "max_attempts", r.ib.attempts, "pause", pause, "error", err)...)
	return pause, nil
}

// returnTimeout bounds the statement that takes an attempt back after ctx has ended.
const returnTimeout = 2 * time.Second

// returnAttempt takes back the attempt under way, which ends for no fault of the message's. Where that
// fails, the message has lost one attempt.
func (r *run) returnAttempt(ctx context.Context) {
	if !r.counted || r.giveUp != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = r.ib.store.ReturnAttempt(ctx, r.db, r.message.row(r.ib.consumer))
}

// forget deletes what was counted of a message that is done with, where the transaction does not.
// Nobody would come back to the row, and `relay inbox status` would show it for ever.
func (r *run) forget(ctx context.Context) {
	if !r.parks {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = r.ib.store.DeleteAttempts(ctx, r.db, r.message.row(r.ib.consumer))
}

// report logs a message that failed for good. Those behind it are not: they may be many.
func (r *run) report(outcome Outcome) {
	if outcome == Parked && r.giveUp != "" {
		r.ib.log.Error("inbox: parked a message that failed for good; see `relay inbox parked list`", "message_id", r.message.ID,
			"topic", r.message.Topic, "attempts", r.attempts, "policy", r.ib.policy, "error", r.giveUp)
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
