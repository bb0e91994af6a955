package inbox

import (
	"context"
	"database/sql"
	"fmt"
)

// Process handles m exactly once: it begins a transaction, accepts the message, runs h in the transaction and commits.
// If the message was handled before, Process does not run h, and the outcome is Duplicate.
//
// h must write only through tx, return every error of the database (it must not continue in a transaction that the
// database has ended), and leave Commit and Rollback to Process. On MySQL it must not run DDL, which commits. It must
// not call Process of the same Inbox. h may run several times, each time in a new transaction, after the last one was
// rolled back. Process is safe for concurrent use.
//
// What happens on a failure:
//
//   - h returns an error, panics (a *PanicError), or its writes fail at COMMIT: a failed attempt. Process runs h again
//     after a pause (WithBackoff), up to WithMaxAttempts times. Then it parks the message with the last error, and the
//     outcome is Parked.
//   - h kills the process: a failed attempt as well, because attempts are counted in inbox_attempts before h runs. The
//     next attempt runs alone, with no other handler of this Inbox beside it, so that no other message is blamed. It
//     waits up to 10 s for the handlers that run, and others wait up to 10 s for it.
//   - A message of the same topic and key is parked (BlockKey): Process parks this one behind it, without an attempt.
//     The outcome is Parked.
//   - The message has no Topic, or the policy is Halt: nothing is parked, and nothing is counted in the database. After
//     the last attempt Process returns an *AttemptsError that wraps h's error.
//   - The database ends the transaction because of another one (deadlock, lock timeout, serialization failure): Process
//     runs h again soon. That is no attempt, until it has happened to h a hundred times in a row.
//   - The database cannot be reached, goes away, is read-only or has no space left: Process tries again, with the same
//     pauses, until ctx ends. That is no attempt.
//   - The connection is lost while h runs, and the database can be reached: Process runs h again. That is an attempt
//     from the second time in a row on. It is one at once if the server says that the transaction was idle or open for
//     too long, because h may be the cause.
//   - The connection is lost before the answer to COMMIT, so it is not known whether COMMIT took effect: Process
//     accepts the message again. If its row is there, the outcome is that of the COMMIT, Applied or Parked.
//   - h ended the transaction, by a method or in SQL, or continued after the database had ended it: ErrHandlerEndedTx,
//     at once.
//   - A table is missing, the message is invalid, or a right is not granted: the error, at once.
//
// The transaction has the database's default isolation level. A level that is stricter than READ COMMITTED causes more
// repetitions, and nothing else.
//
// When ctx ends, Process rolls back and returns an error that wraps ctx's. Do not acknowledge the message after any
// error: when it is delivered again, it is applied, or found to be a duplicate.
func (ib *Inbox) Process(ctx context.Context, db *sql.DB, m Message, h func(ctx context.Context, tx *sql.Tx) error) (
	Outcome, error) {
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
