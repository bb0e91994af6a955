package inbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// BatchOption changes how ProcessBatch runs one batch.
type BatchOption func(*batch)

// WithPartitionClaim keeps the offset of the claimed partition beside the data: each transaction moves it
// behind its messages, which must be of that partition, in the order of their offsets.
// If another member has taken the partition over, the transaction is rolled back, and
// ProcessBatch returns ErrFenced.
func WithPartitionClaim(c *PartitionClaim) BatchOption { return func(b *batch) { b.claim = c } }

// WithoutIDs writes no row for a message: the offset of the claim alone says what was handled. Only
// with WithPartitionClaim, and only for a topic whose producer writes each message once (exactly-once mode) and
// that is read with read_committed: a copy at another offset is applied again.
func WithoutIDs() BatchOption { return func(b *batch) { b.without = true } }

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
	b := &batch{unit: unit{ib: ib, db: db, handler: h}, ms: ms, outcomes: make([]Outcome, len(ms))}
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

// batch is one call of ProcessBatch.
type batch struct {
	unit
	ms       []Message
	outcomes []Outcome

	stream   string // WithStream's; "": by topic and partition
	lane     string // "": nothing is noted, as nothing can be parked
	suspects int    // so many fresh messages more are to be run one by one
	blocked  bool   // keys of the consumer may stand still
	noted    bool   // the lane's row is there
	outages  int
}

func (b *batch) check() error {
	switch {
	case b.db == nil || b.handler == nil:
		return errors.New("the database or the handler is nil")
	case len(b.ms) > MaxBatch:
		return fmt.Errorf("%w: at most %d", ErrTooLarge, MaxBatch)
	case b.without && b.claim == nil:
		return errors.New("WithoutIDs without WithPartitionClaim: nothing would tell a message from its copy")
	case b.stream != "" && b.claim != nil:
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
	if b.claim != nil {
		return b.claim.check(b.ms)
	}
	return nil
}

// laneName names the stream as an id that no message has.
func (b *batch) laneName() string {
	first, name := b.ms[0], b.stream
	switch p := first.Position; {
	case name != "":
	case p != nil:
		name = fmt.Sprintf("%s/%d", p.Topic, p.Partition)
	default:
		name = first.Topic
	}
	const before = "postroom batch of "
	if len(before)+len(name) > MaxMessageID || !isText(name) {
		name = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name)))
	}
	return before + name
}

func (b *batch) run(ctx context.Context) error {
	if len(b.ms) == 1 {
		return b.single(ctx, 0)
	}
	if b.ib.policy != Halt {
		b.lane = b.laneName()
	}
	err := b.start(ctx)
	if err == nil {
		err = b.all(ctx)
	}
	b.end(ctx)
	return err
}

// end takes the note back: what ends here ends in an orderly way, and is no reason to suspect
// anything. But of an earlier batch that did not, messages may still be to come: those
// that came were done before it, if the offset behind them was not committed yet.
func (b *batch) end(ctx context.Context) {
	if !b.noted {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	if b.suspects > 0 {
		_, _, _ = b.ib.store.StartBatch(ctx, b.db, b.ib.consumer, b.lane, b.suspects)
		return
	}
	_ = b.ib.store.DeleteAttempts(ctx, b.db, Message{ID: b.lane}.row(b.ib.consumer))
}

// all runs suspects alone, and the rest together.
func (b *batch) all(ctx context.Context) error {
	if b.suspects > 0 {
		b.ib.log.Warn("inbox: the last batch was not finished, running messages one by one", "lane", b.lane, "messages", b.suspects)
	}
	n := 0
	for ; n < len(b.ms) && b.suspects > 0; n++ {
		if err := b.single(ctx, n); err != nil {
			return err
		}
	}
	return b.span(ctx, n, len(b.ms))
}

// start notes that the batch is being handled, and learns the size of one that was not
// finished.
func (b *batch) start(ctx context.Context) (err error) {
	if b.lane == "" {
		return nil
	}
	for {
		b.suspects, b.blocked, err = b.ib.store.StartBatch(ctx, b.db, b.ib.consumer, b.lane, len(b.ms))
		if err == nil {
			b.noted = true
			b.recovered()
			return nil
		}
		failed := databaseFailure(fmt.Errorf("note the batch in %s: %w%s", b.ib.attemptsTable, err, hint(err)))
		b.tally(ctx, failed, "lane", b.lane)
		if err := b.wait(ctx, failed); err != nil {
			return err
		}
	}
}

// span runs the messages from lo to hi: those that no handler can run alone, the others
// together.
func (b *batch) span(ctx context.Context, lo, hi int) error {
	for lo < hi {
		end := lo
		for end < hi && b.ms[end].Err == nil {
			end++
		}
		if end > lo {
			if err := b.together(ctx, lo, end); err != nil {
				return err
			}
			lo = end
			continue
		}
		if err := b.single(ctx, lo); err != nil {
			return err
		}
		lo++
	}
	return nil
}

// together runs the messages from lo to hi in as few transactions as the inbox's pace allows.
func (b *batch) together(ctx context.Context, lo, hi int) (err error) {
	for lo < hi && err == nil {
		lo, err = b.next(ctx, lo, hi)
	}
	return err
}

// next runs the next of the messages from lo to hi that share a transaction, and returns where the others begin. In a
// conflict, or when the connection is lost under the handler, they are halved: with fewer messages a handler meets
// others less often, and takes less time.
func (b *batch) next(ctx context.Context, lo, hi int) (int, error) {
	var intended []Outcome
	end := lo + b.ib.pace.size(hi-lo)
	for {
		failed := b.once(ctx, lo, end, &intended)
		if failed == nil {
			b.recovered()
			b.conflicts, b.handlers, b.losses = 0, 0, 0
			b.ib.pace.committed(end - lo)
			return end, nil
		}
		crowded := b.ran && (failed.kind == conflict || failed.kind == lostInHandler)
		b.tally(ctx, failed, "lane", b.lane)
		if crowded && failed.kind != outage {
			b.ib.pace.failed(end - lo)
		}
		if failed.kind == handlerFailed && ctx.Err() == nil {
			return end, b.halves(ctx, lo, end, failed)
		}
		if err := b.wait(ctx, failed); err != nil {
			return lo, err
		}
		if intended == nil { // else that COMMIT is to be resolved as it was
			end = lo + b.ib.pace.size(end-lo)
		}
	}
}

// halves runs the messages from lo to hi, with which the handler has failed, in halves.
func (b *batch) halves(ctx context.Context, lo, hi int, failed *failure) error {
	b.recovered()
	b.conflicts, b.handlers = 0, 0 // the halves begin anew
	if hi-lo == 1 {
		return b.single(ctx, lo)
	}
	middle := lo + (hi-lo)/2
	b.ib.log.Debug("inbox: the handler failed, halving the batch", "lane", b.lane, "messages", hi-lo, "error", failed.err)
	if err := b.together(ctx, lo, middle); err != nil {
		return err
	}
	return b.together(ctx, middle, hi)
}

// single runs one message as Process does.
func (b *batch) single(ctx context.Context, n int) error {
	r := newRun(b.unit, b.ms[n])
	outcome, err := r.untilDone(ctx)
	b.outcomes[n] = outcome
	if outcome != Applied || r.tries > 1 {
		b.blocked = true // see blockedKeys
	}
	switch {
	case r.killed:
		b.suspects = 0 // it was this one
	case b.suspects > 0 && outcome != Duplicate:
		b.suspects--
	}
	return err
}

// wait pauses after a failure that is not the handler's, or returns why there is no
// next try.
func (b *batch) wait(ctx context.Context, failed *failure) error {
	fail := func(err error) error {
		return fmt.Errorf("inbox: process %d messages from %q on of consumer %q: %w", len(b.ms), b.ms[0].ID, b.ib.consumer, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(fmt.Errorf("interrupted: %w; before that: %w", err, failed.err))
	}
	var pause time.Duration
	switch failed.kind {
	case conflict:
		b.recovered()
		pause = conflictBackoff.after(b.conflicts)
	case outage:
		if b.outages++; b.outages == 1 {
			b.ib.log.Warn("inbox: the database is out of reach or cannot work, trying again until it is back", "lane", b.lane, "error", failed.err)
		}
		pause = b.ib.backoff.after(b.outages)
	case lostInHandler:
		b.recovered()
		b.ib.log.Warn("inbox: the connection was lost while the handler ran, running it again", "lane", b.lane, "error", failed.err)
		pause = b.ib.backoff.after(b.losses)
	default:
		return fail(failed.err)
	}
	if err := b.ib.sleep(ctx, pause); err != nil {
		return fail(fmt.Errorf("interrupted: %w; before that: %w", err, failed.err))
	}
	return nil
}

func (b *batch) recovered() {
	if b.outages > 0 {
		b.ib.log.Info("inbox: the database is back", "lane", b.lane, "tries", b.outages)
	}
	b.outages = 0
}

// once runs one transaction for the messages from lo to hi. Intended are the outcomes of
// one whose COMMIT had no answer, if there was one.
func (b *batch) once(ctx context.Context, lo, hi int, intended *[]Outcome) *failure {
	leave, err := b.ib.gate.enter(ctx, false)
	if err != nil {
		return &failure{kind: final, err: err}
	}
	defer leave()
	tx, failed := b.begin(ctx)
	if failed != nil {
		return failed
	}
	defer func() { _ = tx.Rollback() }()

	ms := b.ms[lo:hi]
	fresh, err := b.accept(ctx, tx, ms, *intended != nil)
	if err != nil {
		return databaseFailure(err)
	}
	if slices.Contains(fresh, true) {
		*intended = nil // so the COMMIT without an answer did not take effect
	}
	outcomes, run, failed := b.sort(ctx, tx, ms, fresh, *intended)
	if failed != nil {
		return failed
	}
	var done *dialect.InboxRow
	last := hi == len(b.ms) && b.noted
	if last {
		row := Message{ID: b.lane}.row(b.ib.consumer)
		done = &row
	}
	if len(run) > 0 {
		if failed := b.apply(ctx, tx, run, done); failed != nil {
			return failed
		}
	} else if last {
		if err := b.ib.store.DeleteAttempts(ctx, tx, *done); err != nil {
			return databaseFailure(err)
		}
	}
	switch failed := b.finish(ctx, tx, ms); {
	case failed == nil:
		b.noted = b.noted && !last
	case errors.Is(failed.err, errMoved):
		// All is rolled back. The offset says that the messages are done: by the COMMIT
		// that had no answer, or long ago, if their ids were pruned since.
		for n := range outcomes {
			if outcomes[n] = Duplicate; *intended != nil {
				outcomes[n] = (*intended)[n]
			}
		}
	default:
		if failed.inDoubt {
			*intended = outcomes
		}
		return failed
	}
	copy(b.outcomes[lo:hi], outcomes)
	return nil
}
