package inbox

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// messageIDs is what accepting messages needs of a database.
type messageIDs interface {
	// InsertMessage returns false, without an error, if the id exists already.
	InsertMessage(ctx context.Context, tx db.Queryer, row store.Row) (bool, store.TxMark, error)
	// InsertMessages returns the ids that did not exist. The rows must have different ids.
	InsertMessages(ctx context.Context, tx db.Queryer, consumer string, rows []store.Row) (
		map[string]bool, store.TxMark, error)
	// HasMessage reports whether a committed row has the id.
	HasMessage(ctx context.Context, q db.Queryer, row store.Row) (bool, error)
}

// Accept records in tx that the consumer has handled m, and reports whether m is fresh: whether it was not handled
// before. Call it first, before the handler reads or writes anything:
//
//   - true: apply the message's effect in tx and commit. After a rollback the message is fresh again.
//   - false: a committed transaction has handled the message. Do not apply the effect. Commit or roll back, and
//     acknowledge the message.
//
// If another open transaction has accepted the same message, Accept waits for its end, or for the end of ctx. If you
// call Accept after statements of the handler, two deliveries of a message may both do the work, and on MySQL they may
// lock rows in an order that deadlocks.
//
// Accept returns ErrNoTransaction, ErrNoID, ErrTooLarge, ErrInvalidText and ErrInvalidPosition before any SQL, so the
// transaction can still be used. After an error of the database, roll back and deliver the message again. That includes
// deadlocks, lock timeouts and serialization failures, which have their cause in another transaction. (Process repeats
// the message by itself then.)
func (ib *Inbox) Accept(ctx context.Context, tx Tx, m Message) (fresh bool, err error) {
	fresh, _, err = ib.accept(ctx, tx, m)
	return fresh, err
}

// accept is Accept. It also returns which transaction tx is, if the database says so.
func (ib *Inbox) accept(ctx context.Context, tx Tx, m Message) (fresh bool, mark store.TxMark, err error) {
	if tx == nil {
		return false, "", fmt.Errorf("inbox: accept for %q: %w", ib.consumer, ErrNoTransaction)
	}
	if err := m.check(); err != nil {
		return false, "", fmt.Errorf("inbox: accept for %q: %w", ib.consumer, err)
	}
	fresh, mark, err = ib.store.InsertMessage(ctx, tx, m.row(ib.consumer))
	if err != nil {
		return false, "", fmt.Errorf("inbox: write message %q of consumer %q to %s: %w%s", m.ID, ib.consumer, ib.table,
			err, hint(err))
	}
	return fresh, mark, nil
}

// MaxBatch is the largest number of messages for AcceptBatch and ProcessBatch: 10,000.
const MaxBatch = 10_000

// AcceptBatch is Accept for many messages, in one statement (two on MySQL). It reports for each message, in the given
// order, whether it is fresh. If the batch has copies of a message, at most the first one is fresh. Apply the effects
// of the fresh messages in tx, in the given order, and commit.
//
// What Accept says applies to each message. Without messages AcceptBatch runs no statement. For more than MaxBatch
// messages it returns ErrTooLarge.
//
// Two transactions may accept batches with common ids at the same time: the later one waits until the other has ended.
// If a transaction accepts several batches, a deadlock is possible. Then roll back and run it again.
func (ib *Inbox) AcceptBatch(ctx context.Context, tx Tx, ms []Message) (fresh []bool, err error) {
	fresh, _, err = ib.acceptBatch(ctx, tx, ms)
	return fresh, err
}

// acceptBatch is accept for many messages.
func (ib *Inbox) acceptBatch(ctx context.Context, tx Tx, ms []Message) (fresh []bool, mark store.TxMark, err error) {
	if tx == nil {
		return nil, "", fmt.Errorf("inbox: accept %d messages for %q: %w", len(ms), ib.consumer, ErrNoTransaction)
	}
	rows, first, err := ib.distinct(ms)
	if err != nil {
		return nil, "", fmt.Errorf("inbox: accept %d messages for %q: %w", len(ms), ib.consumer, err)
	}
	fresh = make([]bool, len(ms))
	if len(rows) == 0 {
		return fresh, "", nil
	}
	written, mark, err := ib.store.InsertMessages(ctx, tx, ib.consumer, rows)
	if err != nil {
		return nil, "", fmt.Errorf("inbox: write %d messages of consumer %q to %s: %w%s", len(rows), ib.consumer,
			ib.table, err, hint(err))
	}
	for i, m := range ms {
		fresh[i] = first[i] && written[m.ID]
	}
	return fresh, mark, nil
}

// distinct returns the rows without copies, and which messages are the first with their id.
func (ib *Inbox) distinct(ms []Message) (rows []store.Row, first []bool, err error) {
	if len(ms) > MaxBatch {
		return nil, nil, fmt.Errorf("%w: %d messages, at most %d", ErrTooLarge, len(ms), MaxBatch)
	}
	seen := make(map[string]bool, len(ms))
	first = make([]bool, len(ms))
	for i, m := range ms {
		if err := m.check(); err != nil {
			return nil, nil, fmt.Errorf("message %d: %w", i, err)
		}
		if seen[m.ID] {
			continue
		}
		seen[m.ID], first[i] = true, true
		rows = append(rows, m.row(ib.consumer))
	}
	return rows, first, nil
}
