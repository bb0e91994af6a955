package inbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// batch is the state machine of a batch: it brings the messages of one call of ProcessBatch to their outcomes. A
// message that runs alone is a delivery (message_states.go).
//
//	received ─noteStart─▶ noted ─┬─ the last batch of the stream was not finished: so many messages run alone
//	                             └─ the others run together
//
//	together, in one transaction (tryTogether):
//	noted ─accept─▶ accepted ─parkBlocked─▶ sorted ─runHandler─▶ handled ─commit─▶ Applied, Duplicate, Parked
//	  ▲                           │
//	  │                           ▼ a step failed
//	  ├─ again after a pause: another transaction or the database was in the way (with fewer messages, if their
//	  │  handler conflicted)
//	  ├─ in halves: the handler failed; a half of one message runs alone
//	  └─ Failed: ctx has ended, or a repetition cannot help
//
//	at the end, whatever the outcomes: noteEnd
//
// The note is a row of inbox_attempts with the stream's name as its id: it is one attempt of the whole batch.
type batch struct {
	unitOfWork
	ms       []Message
	outcomes []Outcome

	stream     string // WithStream's; "": by topic and partition
	noteID     string // the id of the note; "": there is none, because nothing can be parked
	noted      bool   // the note is there
	unfinished int    // how many more fresh messages are to run alone
	keyBlocked bool   // keys of the consumer may be blocked
}

func (b *batch) run(ctx context.Context) error {
	if len(b.ms) == 1 {
		return b.alone(ctx, 0)
	}
	if b.ib.policy != Halt {
		b.noteID = b.streamID()
	}
	b.about = []any{"lane", b.noteID}
	err := b.noteStart(ctx)
	if err == nil {
		err = b.all(ctx)
	}
	b.noteEnd(ctx)
	return err
}

// streamID returns an id for the stream that no message has.
func (b *batch) streamID() string {
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

func (b *batch) noteRow() store.Row { return Message{ID: b.noteID}.row(b.ib.consumer) }

// noteStart notes that the batch is being handled. It reads how many messages of an earlier batch were not
// finished.
func (b *batch) noteStart(ctx context.Context) (err error) {
	if b.noteID == "" {
		return nil
	}
	for {
		b.unfinished, b.keyBlocked, err = b.ib.store.StartBatch(ctx, b.db, b.ib.consumer, b.noteID, len(b.ms))
		if err == nil {
			b.noted = true
			b.recovered()
			return nil
		}
		failed := databaseFailure(fmt.Errorf("note the batch in %s: %w%s", b.ib.attemptsTable, err, hint(err)))
		b.reclassify(ctx, failed)
		if err := b.wait(ctx, failed); err != nil {
			return err
		}
	}
}

// noteEnd deletes the note: this batch has ended in an orderly way, whatever its outcomes. If an earlier batch was
// not finished, some of its messages may still come; then the note stays. Messages of it that have come were done
// before, when the offset behind them was not committed yet.
func (b *batch) noteEnd(ctx context.Context) {
	if !b.noted {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	if b.unfinished > 0 {
		_, _, _ = b.ib.store.StartBatch(ctx, b.db, b.ib.consumer, b.noteID, b.unfinished)
		return
	}
	_ = b.ib.store.DeleteAttempts(ctx, b.db, b.noteRow())
}

// all runs the first messages alone, if the last batch was not finished, and the others together. Messages that no
// handler can run (Message.Err) are parked alone.
func (b *batch) all(ctx context.Context) error {
	if b.unfinished > 0 {
		b.ib.log.Warn("inbox: the last batch was not finished, running messages one by one", "lane", b.noteID,
			"messages", b.unfinished)
	}
	for n := 0; n < len(b.ms); {
		end := n
		for b.unfinished == 0 && end < len(b.ms) && b.ms[end].Err == nil {
			end++
		}
		var err error
		if end > n {
			err = b.together(ctx, n, end)
			n = end
		} else {
			err = b.alone(ctx, n)
			n++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone runs one message as Process does.
func (b *batch) alone(ctx context.Context, n int) error {
	d := newDelivery(b.unitOfWork, b.ms[n])
	outcome, err := d.run(ctx)
	b.outcomes[n] = outcome
	if outcome != Applied || d.tries > 1 {
		b.keyBlocked = true // see blockedKeys
	}
	switch {
	case d.attempts.killed:
		b.unfinished = 0 // it was this one
	case b.unfinished > 0 && outcome != Duplicate:
		b.unfinished--
	}
	return err
}

// together runs the messages from lo to hi in as few transactions as the inbox's batch size allows.
func (b *batch) together(ctx context.Context, lo, hi int) (err error) {
	for lo < hi && err == nil {
		lo, err = b.next(ctx, lo, hi)
	}
	return err
}

// next runs the next messages between lo and hi that share a transaction, and returns where the others begin. After
// a conflict, or when the connection is lost while the handler runs, it takes half as many. With fewer messages a
// handler conflicts less often with other transactions, and takes less time.
func (b *batch) next(ctx context.Context, lo, hi int) (int, error) {
	var inDoubt []Outcome // what a COMMIT without an answer would have committed; nil: there is none
	end := lo + b.ib.batchSize.Next(hi-lo)
	for {
		failed := b.tryTogether(ctx, lo, end, &inDoubt)
		if failed == nil {
			b.recovered()
			b.retries.conflicts, b.retries.handlers, b.retries.losses = 0, 0, 0
			b.ib.batchSize.Committed(end - lo)
			return end, nil
		}
		crowded := b.handlerRan && (failed.kind == conflict || failed.kind == lostInHandler)
		b.reclassify(ctx, failed)
		if crowded && failed.kind != outage {
			b.ib.batchSize.Failed(end - lo)
		}
		if failed.kind == handlerFailed && ctx.Err() == nil {
			return end, b.halves(ctx, lo, end, failed)
		}
		if err := b.wait(ctx, failed); err != nil {
			return lo, err
		}
		if inDoubt == nil { // else the same messages must be tried again, to resolve that COMMIT
			end = lo + b.ib.batchSize.Next(end-lo)
		}
	}
}

// halves runs the messages from lo to hi, with which the handler has failed, in halves.
func (b *batch) halves(ctx context.Context, lo, hi int, failed *failure) error {
	b.recovered()
	b.retries.conflicts, b.retries.handlers = 0, 0 // count anew for the halves
	if hi-lo == 1 {
		return b.alone(ctx, lo)
	}
	middle := lo + (hi-lo)/2
	b.ib.log.Debug("inbox: the handler failed, halving the batch", "lane", b.noteID, "messages", hi-lo, "error",
		failed.err)
	if err := b.together(ctx, lo, middle); err != nil {
		return err
	}
	return b.together(ctx, middle, hi)
}

// wait pauses after a failure that is not the handler's. It returns an error if there is no next try.
func (b *batch) wait(ctx context.Context, failed *failure) error {
	fail := func(err error) error {
		return fmt.Errorf("inbox: process %d messages from %q on of consumer %q: %w", len(b.ms), b.ms[0].ID,
			b.ib.consumer, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(fmt.Errorf("interrupted: %w; before that: %w", err, failed.err))
	}
	switch failed.kind {
	case conflict, outage, lostInHandler:
		if err := b.ib.sleep(ctx, b.pauseAfter(failed)); err != nil {
			return fail(fmt.Errorf("interrupted: %w; before that: %w", err, failed.err))
		}
		return nil
	default:
		return fail(failed.err)
	}
}

// tryTogether makes every step once for the messages from lo to hi, in one transaction. inDoubt has the outcomes of
// an earlier try whose COMMIT had no answer, if there was one.
func (b *batch) tryTogether(ctx context.Context, lo, hi int, inDoubt *[]Outcome) *failure {
	leave, err := b.ib.gate.Enter(ctx, false)
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
	fresh, err := b.accept(ctx, tx, ms, *inDoubt != nil)
	if err != nil {
		return databaseFailure(err)
	}
	if slices.Contains(fresh, true) {
		*inDoubt = nil // ids are fresh, so the COMMIT without an answer did not take effect
	}
	outcomes, runnable, failed := b.parkBlocked(ctx, tx, ms, fresh, *inDoubt)
	if failed != nil {
		return failed
	}
	last := hi == len(b.ms) && b.noted
	if failed := b.handle(ctx, tx, runnable, last); failed != nil {
		return failed
	}
	failed = b.commit(ctx, tx, ms)
	switch {
	case failed == nil:
		b.noted = b.noted && !last
	case errors.Is(failed.err, errMoved):
		// The transaction is rolled back. The offset says that the messages are done: by the COMMIT that had no
		// answer, or long ago, if their ids were pruned since.
		for n := range outcomes {
			if outcomes[n] = Duplicate; *inDoubt != nil {
				outcomes[n] = (*inDoubt)[n]
			}
		}
	default:
		if failed.inDoubt {
			*inDoubt = outcomes
		}
		return failed
	}
	copy(b.outcomes[lo:hi], outcomes)
	return nil
}

// handle runs the handler for the messages that are fresh and not blocked, and, with the last messages of the batch,
// deletes the note.
func (b *batch) handle(ctx context.Context, tx *sql.Tx, runnable []Message, last bool) *failure {
	var note *store.Row
	if last {
		row := b.noteRow()
		note = &row
	}
	if len(runnable) > 0 {
		return b.runHandler(ctx, tx, runnable, note)
	}
	if last {
		if err := b.ib.store.DeleteAttempts(ctx, tx, *note); err != nil {
			return databaseFailure(err)
		}
	}
	return nil
}

// parkBlocked parks the fresh messages whose keys are blocked, in tx, and returns the others for the handler.
// Messages that are not fresh are duplicates. If a COMMIT had no answer, it took effect, and they have its
// outcomes.
func (b *batch) parkBlocked(
	ctx context.Context, tx *sql.Tx, ms []Message, fresh []bool, inDoubt []Outcome,
) (outcomes []Outcome, runnable []Message, _ *failure) {
	blocked, err := b.blockedKeys(ctx, tx, ms, fresh)
	if err != nil {
		return nil, nil, databaseFailure(fmt.Errorf("read the blocked keys: %w%s", err, hint(err)))
	}
	outcomes, runnable = make([]Outcome, len(ms)), make([]Message, 0, len(ms))
	for n, m := range ms {
		switch {
		case !fresh[n] && inDoubt != nil:
			outcomes[n] = inDoubt[n]
		case !fresh[n]:
			outcomes[n] = Duplicate
		case m.Key != "" && blocked[m.Topic+"\x00"+keyText(m.Key)]:
			if _, err := b.ib.park(ctx, tx, m, db.ParkedBlocked, 0, ""); err != nil {
				return nil, nil, databaseFailure(fmt.Errorf("park message %q in %s: %w%s", m.ID, b.ib.parked, err,
					hint(err)))
			}
			outcomes[n] = Parked
		default:
			outcomes[n], runnable = Applied, append(runnable, m)
		}
	}
	return outcomes, runnable, nil
}

// blockedKeys returns which of the messages' keys are blocked, as topic, NUL and key, and locks them. It asks
// again, even if no key was blocked when the batch began: a member that was declared dead may since have parked a
// message that is done here, and the next message of its key must wait behind it (hazard parked-elsewhere).
func (b *batch) blockedKeys(ctx context.Context, tx *sql.Tx, ms []Message, fresh []bool) (
	_ map[string]bool, err error) {
	b.keyBlocked = b.keyBlocked || slices.Contains(fresh, false)
	if !b.keyBlocked {
		return nil, nil
	}
	byTopic := map[string][]string{}
	var topics []string
	for n, m := range ms {
		if !fresh[n] || m.Key == "" {
			continue
		}
		if _, ok := byTopic[m.Topic]; !ok {
			topics = append(topics, m.Topic)
		}
		byTopic[m.Topic] = append(byTopic[m.Topic], keyText(m.Key))
	}
	slices.Sort(topics)
	over := b.ib.watch(ctx, b.db, &b.lockWait, "lane", b.noteID, "messages", len(ms))
	defer func() { over(err) }()
	blocked := map[string]bool{}
	for _, topic := range topics {
		keys := byTopic[topic]
		slices.SortFunc(keys, strings.Compare)
		found, err := b.ib.store.BlockedKeys(ctx, tx, b.ib.consumer, topic, slices.Compact(keys))
		if err != nil {
			return nil, err
		}
		for key := range found {
			blocked[topic+"\x00"+key] = true
		}
	}
	return blocked, nil
}
