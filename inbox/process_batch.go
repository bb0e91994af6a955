package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// BatchOption changes how ProcessBatch runs one batch.
type BatchOption func(*batch)

// WithPartitionClaim keeps the offset of the claimed partition beside the data. Each transaction moves it behind its
// messages, which must be of that partition, in the order of their offsets. If another member has claimed the
// partition, the transaction is rolled back, and ProcessBatch returns ErrFenced.
func WithPartitionClaim(c *PartitionClaim) BatchOption { return func(b *batch) { b.partition = c } }

// WithoutIDs writes no row for a message: only the offset of the claim says what was handled. It needs
// WithPartitionClaim, and a topic whose producer writes each message once (exactly-once mode), read with
// read_committed. A copy at another offset would be applied again.
func WithoutIDs() BatchOption { return func(b *batch) { b.withoutIDs = true } }

// WithStream names the stream that the batch belongs to. Default: the topic and partition of its first message. Set it
// if one partition, or one queue, is handled as several streams at the same time. After a batch has killed the process,
// the inbox recognises the next batch of the stream by this name. So give each stream its own name, use the same names
// after a restart, and if possible send the same messages to each stream again. WithStream cannot be used together with
// WithPartitionClaim, because several streams cannot share the one offset of a partition.
func WithStream(name string) BatchOption { return func(b *batch) { b.stream = name } }

// ProcessBatch handles many messages of one ordered stream, such as a partition, in one transaction: it accepts them
// all in one statement (two on MySQL), runs h once for those that are fresh, in the order given, and commits. The
// outcomes have the order of ms.
//
// What Process says of h applies here as well. These failures are different:
//
//   - The database ends the transaction because of another one: the batch is halved. The next batches of the inbox
//     begin with the size that succeeded, and grow again. To avoid deadlocks, a handler should lock rows in the order
//     of their keys, and not in the order of the messages.
//   - h fails: the transaction is rolled back, and the batch is halved, down to the message at fault. That one runs
//     alone, with attempts, pauses and parking as in Process; the others commit.
//   - The process dies in the middle of a batch: the next batches of the stream run their messages one by one, until
//     as many fresh ones are done. Only these count as attempts. WithStream says what a stream is.
//
// Every message needs a Topic, unless the policy is Halt. An error ends the batch: messages that were finished before
// have their outcomes, and the others are Failed; deliver those again. At most MaxBatch messages. ProcessBatch is safe
// for use by many goroutines, but use each stream from one goroutine at a time.
func (ib *Inbox) ProcessBatch(ctx context.Context, db *sql.DB, ms []Message, h BatchHandler, opts ...BatchOption) (
	[]Outcome, error) {
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

// check returns an error for what ProcessBatch cannot handle, before any SQL.
func (b *batch) check() error {
	switch {
	case b.db == nil || b.handler == nil:
		return errors.New("the database or the handler is nil")
	case len(b.ms) > MaxBatch:
		return fmt.Errorf("%w: at most %d", ErrTooLarge, MaxBatch)
	case b.withoutIDs && b.partition == nil:
		return errors.New("WithoutIDs without WithPartitionClaim: copies of a message could not be recognised")
	case b.stream != "" && b.partition != nil:
		return errors.New("WithStream with WithPartitionClaim: the streams of a partition cannot share its offset")
	}
	for n, m := range b.ms {
		if err := m.check(); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		if m.Topic == "" && b.ib.policy != Halt {
			return fmt.Errorf("message %d, %q, has no Topic: set one, or use WithOnFailure(Halt), because without it "+
				"the message cannot be parked", n, m.ID)
		}
	}
	if b.partition != nil {
		return b.partition.check(b.ms)
	}
	return nil
}
