package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	store "github.com/postroom/postroom/internal/store/inbox"
)

// delivery is the state machine of a message: it brings one message to its outcome. The method try takes the steps to
// the right, in one transaction. After a step that failed, afterFailure chooses the next step:
//
//	received ─startAttempt─▶ claimed ─accept─▶ accepted ─handle─▶ handled ─commit─▶ Applied
//	   ▲                        │                  │
//	   │                        │ done before      │ the id is there ─────commit─▶ Duplicate
//	   │                        └──▶ Duplicate     │ its key is blocked: parkBehind, commit ─▶ Parked
//	   │
//	   ├─ retry, after a pause ◀── a step failed ──▶ Failed: ctx has ended, or a repetition cannot help
//	   │                                │
//	   │                                ▼ attempts used up, or the process died in the last one
//	   └───────────────────── to be parked: the same steps, but handle parks the message ─commit─▶ Parked
//
// A message that cannot be parked (no Topic, or the policy Halt) has no claimed state: its attempts are counted in
// memory, and when they are used up the outcome is Failed, with an *AttemptsError.
type delivery struct {
	unitOfWork
	message  Message
	parkable bool // attempts are counted in the database, and the message can be parked

	attempts   attempts
	isolation  isolation
	parkReason string   // not empty: the message is to be parked, for this reason
	inDoubt    *Outcome // what a COMMIT without an answer would have committed; nil: there is none
	tries      int      // transactions
}

func newDelivery(u unitOfWork, m Message) *delivery {
	u.retries = retries{} // do not count those of the batch
	u.about = []any{"message_id", m.ID}
	d := &delivery{unitOfWork: u, message: m, parkable: u.ib.canPark(m), attempts: attempts{countNext: true}}
	if m.Err != nil {
		d.parkReason = m.Err.Error()
	}
	return d
}

// run repeats try until the message has an outcome, or until no repetition can help.
func (d *delivery) run(ctx context.Context) (Outcome, error) {
	if d.message.Err != nil && !d.parkable {
		return Failed, &AttemptsError{Consumer: d.ib.consumer, MessageID: d.message.ID, Err: d.message.Err}
	}
	for {
		outcome, failed := d.try(ctx)
		if failed == nil {
			d.recovered()
			d.logParked(outcome)
			return outcome, nil
		}
		if ctx.Err() != nil {
			return d.interrupted(ctx, failed)
		}
		pause, err := d.afterFailure(ctx, failed)
		if err != nil {
			return Failed, err
		}
		if d.ib.sleep(ctx, pause) != nil {
			return d.interrupted(ctx, failed)
		}
	}
}

// try makes every step once, in one transaction. If there is no failure, the outcome is committed.
func (d *delivery) try(ctx context.Context) (Outcome, *failure) {
	if failed := d.enterGate(ctx); failed != nil {
		return Failed, failed
	}
	defer d.leaveGate()
	d.tries++

	begun, failed := d.startAttempt(ctx)
	if failed != nil {
		return Failed, failed
	}
	if begun.done && d.partition == nil {
		return d.duplicate(), nil
	}

	tx, failed := d.begin(ctx)
	if failed != nil {
		return Failed, failed
	}
	// This is for a handler that ends its goroutine (runtime.Goexit). Otherwise the transaction has ended before.
	defer func() { _ = tx.Rollback() }()

	fresh, err := d.accept(ctx, tx, []Message{d.message}, d.inDoubt != nil)
	if err != nil {
		return Failed, databaseFailure(err)
	}
	if !fresh[0] {
		return d.commitDuplicate(ctx, tx)
	}
	d.inDoubt = nil // the id is fresh, so the COMMIT without an answer did not take effect

	outcome, failed := d.handle(ctx, tx, begun.keyBlocked)
	if failed != nil {
		return Failed, failed
	}
	return d.commitOutcome(ctx, tx, outcome)
}

// handle runs the handler in tx, which has accepted the message, or parks the message there.
func (d *delivery) handle(ctx context.Context, tx *sql.Tx, keyBlocked bool) (Outcome, *failure) {
	if d.parkReason != "" {
		if err := d.ib.parkFailed(ctx, tx, d.message, d.attempts.made, d.parkReason); err != nil {
			return Failed, databaseFailure(fmt.Errorf("park it in %s: %w%s", d.ib.parked, err, hint(err)))
		}
		return Parked, nil
	}
	if keyBlocked {
		over := d.ib.watch(ctx, d.db, &d.lockWait, "message_id", d.message.ID, "topic", d.message.Topic)
		parked, err := d.ib.parkBehind(ctx, tx, d.message)
		over(err)
		if err != nil {
			return Failed, databaseFailure(fmt.Errorf("park it in %s: %w%s", d.ib.parked, err, hint(err)))
		}
		if parked {
			return Parked, nil
		}
	}
	var counted *store.Row
	if d.parkable {
		row := d.row()
		counted = &row
	}
	if failed := d.runHandler(ctx, tx, []Message{d.message}, counted); failed != nil {
		return Failed, failed
	}
	return Applied, nil
}

// commitDuplicate ends the transaction of a message whose id was there before.
func (d *delivery) commitDuplicate(ctx context.Context, tx *sql.Tx) (Outcome, *failure) {
	if nothingToWrite := d.withoutIDs || !d.parkable && d.partition == nil; nothingToWrite {
		_ = tx.Rollback() // SQLite has one writer at a time
		d.forgetAttempts(ctx)
		return d.duplicate(), nil
	}
	return d.commitOutcome(ctx, tx, d.duplicate())
}

// commitOutcome forgets the attempts, moves the partition's offset and commits.
func (d *delivery) commitOutcome(ctx context.Context, tx *sql.Tx, outcome Outcome) (Outcome, *failure) {
	if d.parkable && outcome != Applied { // if Applied, runHandler has deleted them
		if err := d.ib.store.DeleteAttempts(ctx, tx, d.row()); err != nil {
			return Failed, databaseFailure(err)
		}
	}
	failed := d.commit(ctx, tx, []Message{d.message})
	switch {
	case failed == nil:
		return outcome, nil
	case errors.Is(failed.err, errMoved):
		_ = tx.Rollback() // SQLite has one writer at a time
		d.forgetAttempts(ctx)
		return d.duplicate(), nil
	case failed.inDoubt:
		d.inDoubt = &outcome
	}
	return Failed, failed
}

// duplicate decides what it means that the id was there before Accept. After a COMMIT without an answer the row is
// most likely our own, and the outcome is the one of that COMMIT. If a message that was parked counted as Applied,
// the next message of its key would overtake it.
func (d *delivery) duplicate() Outcome {
	if d.inDoubt != nil {
		return *d.inDoubt
	}
	return Duplicate
}

// afterFailure decides what follows a failed try: a pause and another try, with the handler or to park the message;
// or, with an error, no further try.
func (d *delivery) afterFailure(ctx context.Context, failed *failure) (pause time.Duration, err error) {
	d.reclassify(ctx, failed)
	d.attempts.countNext = failed.kind == handlerFailed
	switch failed.kind {
	case conflict, outage, lostInHandler:
		return d.pauseAfter(failed), nil
	case handlerFailed:
		d.recovered()
		d.attempts.counted = false // the attempt counts even if ctx ends in the pause
		return d.retryOrPark(ctx, failed.err)
	default:
		if errors.Is(failed.err, ErrHandlerEndedTx) { // and may have committed it
			d.forgetAttempts(ctx)
		} else {
			d.returnAttempt(ctx)
		}
		return 0, fmt.Errorf("inbox: process message %q of consumer %q: %w", d.message.ID, d.ib.consumer, failed.err)
	}
}

// retryOrPark is afterFailure for a handler that has failed.
func (d *delivery) retryOrPark(ctx context.Context, err error) (pause time.Duration, _ error) {
	if d.parkReason != "" {
		return 0, fmt.Errorf("inbox: park message %q of consumer %q in %s: %w", d.message.ID, d.ib.consumer,
			d.ib.parked, err)
	}
	if !d.parkable {
		d.attempts.made++
	}
	if d.attempts.made >= d.ib.attempts {
		if !d.parkable {
			return 0, &AttemptsError{Consumer: d.ib.consumer, MessageID: d.message.ID, Attempts: d.attempts.made,
				Err: err}
		}
		d.parkReason = reasonOf(err)
		return 0, nil
	}
	if d.parkable {
		// For people, and for the reason if the process is killed in a later attempt.
		_ = d.ib.store.NoteAttempt(ctx, d.db, d.row(), readable(reasonOf(err)))
	}
	pause = d.ib.backoff.after(d.attempts.made)
	d.ib.log.Warn("inbox: the handler failed, running it again", append(stackOf(err), "message_id", d.message.ID,
		"attempt", d.attempts.made, "max_attempts", d.ib.attempts, "pause", pause, "error", err)...)
	return pause, nil
}

// interrupted ends a delivery whose ctx has ended. err says what failed at that moment.
func (d *delivery) interrupted(ctx context.Context, failed *failure) (Outcome, error) {
	d.returnAttempt(ctx)
	err := failed.err
	if cause := ctx.Err(); !errors.Is(err, cause) {
		err = fmt.Errorf("%w; before that: %w", cause, err)
	}
	return Failed, fmt.Errorf("inbox: process message %q of consumer %q: interrupted: %w", d.message.ID, d.ib.consumer,
		err)
}

// logParked logs a message whose attempts are used up. It does not log those that are parked behind it: they can be
// many.
func (d *delivery) logParked(outcome Outcome) {
	if outcome == Parked && d.parkReason != "" {
		d.ib.log.Error("inbox: parked a message that failed for good; see `relay inbox parked list`",
			"message_id", d.message.ID, "topic", d.message.Topic, "attempts", d.attempts.made, "policy", d.ib.policy,
			"error", d.parkReason)
	}
}
