package inbox

import (
	"context"
	"database/sql"
	"fmt"
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
	work := unitOfWork{ib: ib, db: db, handler: func(ctx context.Context, tx *sql.Tx, _ []Message) error {
		return h(ctx, tx)
	}}
	outcome, err := newDelivery(work, m).run(ctx)
	ib.counted(outcome)
	return outcome, err
}
