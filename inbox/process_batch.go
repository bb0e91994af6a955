package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// BatchOption changes how ProcessBatch runs one batch.
type BatchOption func(*batch)

// WithPartitionClaim keeps the offset of the claimed partition beside the data: each transaction moves it
// behind its messages, which must be of that partition, in the order of their offsets.
// If another member has taken the partition over, the transaction is rolled back, and
// ProcessBatch returns ErrFenced.
func WithPartitionClaim(c *PartitionClaim) BatchOption { return func(b *batch) { b.partition = c } }

// WithoutIDs writes no row for a message: the offset of the claim alone says what was handled. Only
// with WithPartitionClaim, and only for a topic whose producer writes each message once (exactly-once mode) and
// that is read with read_committed: a copy at another offset is applied again.
func WithoutIDs() BatchOption { return func(b *batch) { b.withoutIDs = true } }

// WithStream names the stream that the batch belongs to, in place of the topic and partition of
// its first message. Needed where one partition, or one queue, is handled as several streams beside one
// another: what a batch that killed the process leaves behind is found by this name. So
// give each stream a name of its own, which is the same after a restart, and to which
// the same messages come again, if they can. Not with WithPartitionClaim, whose one offset cannot
// speak for several streams.
func WithStream(name string) BatchOption { return func(b *batch) { b.stream = name } }

// ProcessBatch handles many messages of one ordered stream, such as a partition, in one
// transaction: it accepts them all in one statement (two on MySQL), runs h once for those that
// are fresh, in the order given, and commits. The outcomes are those of ms, one by one.
//
// All that Process says of h holds. What is different on a failure:
//
//   - The database ends the transaction because of another one: the batch is halved, and the next
//     batches of the inbox begin with the size that got through, and grow again. A handler that locks
//     rows in the order of their keys, and not of the messages, meets no deadlocks.
//   - h fails: the transaction is rolled back, and the batch is halved, down to the
//     message at fault, which is run alone, with attempts, pauses and parking as in
//     Process; the others commit.
//   - The process ends in the middle of a batch: the next batches of the stream run their
//     messages one by one, until as many fresh ones are done, and only then attempts count. The
//     stream is told by the topic and partition of the first message, or by WithStream.
//
// Every message needs a Topic, unless the policy is Halt. An error ends the batch: the
// outcomes of the messages that were dealt with before are right, the others Failed;
// deliver them again. At most MaxBatch messages. Safe for use by many goroutines, but one
// stream belongs to one at a time.
func (ib *Inbox) ProcessBatch(ctx context.Context, db *sql.DB, ms []Message, h BatchHandler, opts ...BatchOption) ([]Outcome, error) {
	b := &batch{unitOfWork: unitOfWork{ib: ib, db: db, handler: h}, ms: ms, outcomes: make([]Outcome, len(ms))}
	for _, opt := range opts {
		opt(b)
	}
	if err := b.check(); err != nil {
		return b.outcomes, fmt.Errorf("inbox: process %d messages for %q: %w", len(ms), ib.consumer, err)
	}
	if len(ms) == 0 {
		return b.outcomes, nil
	}
	err := b.run(ctx)
	ib.counted(b.outcomes...)
	return b.outcomes, err
}

// check refuses what ProcessBatch cannot handle, before any SQL.
func (b *batch) check() error {
	switch {
	case b.db == nil || b.handler == nil:
		return errors.New("the database or the handler is nil")
	case len(b.ms) > MaxBatch:
		return fmt.Errorf("%w: at most %d", ErrTooLarge, MaxBatch)
	case b.withoutIDs && b.partition == nil:
		return errors.New("WithoutIDs without WithPartitionClaim: nothing would tell a message from its copy")
	case b.stream != "" && b.partition != nil:
		return errors.New("WithStream with WithPartitionClaim: the lanes of a partition cannot share its one offset")
	}
	for n, m := range b.ms {
		if err := m.check(); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		if m.Topic == "" && b.ib.policy != Halt {
			return fmt.Errorf("message %d, %q, has no Topic: it could not be parked (or use WithOnFailure(Halt))", n, m.ID)
		}
	}
	if b.partition != nil {
		return b.partition.check(b.ms)
	}
	return nil
}
