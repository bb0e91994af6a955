package inbox

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// messageIDs is what accepting messages needs of a database.
type messageIDs interface {
	// InsertMessage reports false, without an error, when the id is there already.
	InsertMessage(ctx context.Context, tx db.Queryer, row store.Row) (bool, store.TxMark, error)
	// InsertMessages returns the ids that were not there; no id may come twice.
	InsertMessages(ctx context.Context, tx db.Queryer, consumer string, rows []store.Row) (
		map[string]bool, store.TxMark, error)
	// HasMessage reports whether a committed row has the id.
	HasMessage(ctx context.Context, q db.Queryer, row store.Row) (bool, error)
}

// Accept records in the transaction tx that the consumer has handled m, and
// reports whether it is the first to do so. Call it first, before the handler reads
// or writes anything:
//
//   - true: apply the message's effect in tx and commit. Until then nothing is
//     decided; after a rollback the message is fresh again.
//   - false: a committed transaction has handled the message. Do not apply
//     the effect; commit or roll back, and acknowledge the message.
//
// While another open transaction holds the same message, Accept waits for it to end
// (ctx bounds the wait). Called after the handler's own statements it would let
// two deliveries do the work side by side, and on MySQL lock rows in an order that
// deadlocks.
//
// ErrNoTransaction, ErrNoID, ErrTooLarge, ErrInvalidText and ErrInvalidPosition are
// returned before any SQL, and leave the transaction usable. After an error of the
// database roll back and deliver the message again: a deadlock, a lock timeout or a
// serialization failure is nobody's fault, and Process repeats it by itself.
func (ib *Inbox) Accept(ctx context.Context, tx Tx, m Message) (fresh bool, err error) {
	fresh, _, err = ib.accept(ctx, tx, m)
	return fresh, err
}

// accept is Accept that says which transaction tx is, where the database tells.
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

// MaxBatch is the most messages that AcceptBatch and ProcessBatch take: 10,000.
const MaxBatch = 10_000

// AcceptBatch is Accept for many messages: in one statement (two on MySQL) it records
// that the consumer has handled them, and reports for each, in the order given,
// whether it is fresh. Of copies within the batch the first is fresh, if any. Apply
// the effects of the fresh ones in tx, in the order given, and commit.
//
// All that Accept promises and asks for holds for each message. No messages: no
// statement. More than MaxBatch: ErrTooLarge.
//
// Batches that share ids are safe beside one another: the later one waits until the
// other has ended. In a transaction that accepts several batches the database may
// find a deadlock between two of them; roll back and run it again.
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

// distinct returns the row of each message but the copies, and which messages are none.
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
