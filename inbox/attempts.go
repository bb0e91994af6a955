package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// attemptCounts is what the count of attempts needs of a database.
type attemptCounts interface {
	// StartAttempt counts add attempts, unless the consumer is done with the message.
	StartAttempt(ctx context.Context, q db.Queryer, row store.Row, topic, key string, add int) (
		store.StartedAttempt, error)
	// StartBatch notes that size messages of a lane are being handled. It returns the number of those that were not
	// finished before, and whether any key of the consumer is blocked.
	StartBatch(ctx context.Context, q db.Queryer, consumer, lane string, size int) (
		unfinished int, blocked bool, err error)
	// ReturnAttempt takes one attempt back.
	ReturnAttempt(ctx context.Context, q db.Execer, row store.Row) error
	// NoteAttempt keeps the error of the last attempt.
	NoteAttempt(ctx context.Context, q db.Execer, row store.Row, reason string) error
	// DeleteAttempts forgets the attempts at a message.
	DeleteAttempts(ctx context.Context, tx db.Execer, row store.Row) error
}

// attempts counts the attempts at a message. They are counted in inbox_attempts, in a transaction of its own that is
// committed before the handler runs, so that an attempt that kills the process counts as well; and not in inbox_events,
// where a row means done. (A message that cannot be parked is counted here alone.)
type attempts struct {
	made      int  // where they are counted in the database, the one under way included
	countNext bool // the next start is an attempt, and not the repetition of one that was nobody's fault
	counted   bool // the one under way is counted in the database
	begun     bool // one was counted in this delivery
	killed    bool // the last that is allowed did not return: its process died in it
}

// isolation runs a message whose earlier attempt did not return with no other handler of the inbox beside it.
type isolation struct {
	suspect bool   // an attempt before this delivery did not return
	alone   bool   // so it runs alone
	leave   func() // leaves the gate; nil: it is outside
}

// begun is what startAttempt has found.
type begun struct {
	keyBlocked bool // at that time: a message of its key is parked
	done       bool // the id is in inbox_events
}

// row is the message's row in the tables of ids and attempts.
func (d *delivery) row() store.Row { return d.message.row(d.ib.consumer) }

// canPark reports whether m can be set aside.
func (ib *Inbox) canPark(m Message) bool { return m.Topic != "" && ib.policy != Halt }

// startAttempt counts the attempt that begins, and isolates the message if an earlier one did not return.
func (d *delivery) startAttempt(ctx context.Context) (begun, *failure) {
	b, failed := d.countAttempt(ctx)
	if failed != nil || !d.isolation.suspect || d.isolation.alone {
		return b, failed
	}
	if failed = d.isolate(ctx); failed != nil {
		return begun{}, failed
	}
	return d.countAttempt(ctx)
}

// countAttempt counts the attempt that begins, where the message can be parked. If more do not return than are allowed,
// the message is to be parked.
func (d *delivery) countAttempt(ctx context.Context) (begun, *failure) {
	if !d.parkable || d.parkReason != "" {
		return begun{}, nil
	}
	add := 0
	if d.attempts.countNext {
		add = 1
	}
	s, err := d.ib.store.StartAttempt(ctx, d.db, d.row(), d.message.Topic, keyText(d.message.Key), add)
	if err != nil {
		return begun{}, databaseFailure(fmt.Errorf("count the attempt in %s: %w%s", d.ib.attemptsTable, err, hint(err)))
	}
	a := &d.attempts
	a.made, a.counted = s.Attempts, !s.Done
	if a.made > d.ib.attempts {
		a.made--
		a.killed = true
		d.parkReason = s.LastError
		if d.parkReason == "" {
			d.parkReason = fmt.Sprintf("the process ended in the middle of the handler, in %d attempts of %d", a.made,
				d.ib.attempts)
		}
		return begun{}, nil
	}
	// In this delivery none was counted yet, so an earlier one did not return.
	d.isolation.suspect = d.isolation.suspect || !a.begun && a.counted && s.Attempts > 1
	a.begun = true
	return begun{keyBlocked: s.Blocked && d.message.Key != "", done: s.Done}, nil
}

// isolate has a message whose last attempt did not return run with no handler of the
// inbox beside it. Else, if it does kill the process, those that run at that moment lose an
// attempt as well: after each restart they would be the same, and in the end parked. So while it
// waits for its turn it gives its own attempt back: it may be the innocent one.
func (d *delivery) isolate(ctx context.Context) *failure {
	d.ib.log.Warn("inbox: an earlier attempt at a message was not brought to its end (its process was killed in it, "+
		"or stopped after it), running it alone",
		"message_id", d.message.ID, "attempt", d.attempts.made, "max_attempts", d.ib.attempts)
	d.returnAttempt(ctx)
	d.attempts.counted, d.isolation.alone = false, true
	d.leaveGate()
	return d.enterGate(ctx)
}

// enterGate waits until the message may run.
func (d *delivery) enterGate(ctx context.Context) *failure {
	leave, err := d.ib.gate.Enter(ctx, d.isolation.alone)
	if err != nil {
		return &failure{kind: final, err: err}
	}
	d.isolation.leave = leave
	return nil
}

func (d *delivery) leaveGate() {
	if d.isolation.leave != nil {
		d.isolation.leave()
		d.isolation.leave = nil
	}
}

// returnTimeout bounds the statement that takes an attempt back after ctx has ended.
const returnTimeout = 2 * time.Second

// returnAttempt takes back the attempt under way, which ends for no fault of the message's. Where that
// fails, the message has lost one attempt.
func (d *delivery) returnAttempt(ctx context.Context) {
	if !d.attempts.counted || d.parkReason != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = d.ib.store.ReturnAttempt(ctx, d.db, d.row())
}

// forgetAttempts deletes what was counted of a message that is done, where the transaction does not.
// Nobody would come back to the row, and `relay inbox status` would show it for ever.
func (d *delivery) forgetAttempts(ctx context.Context) {
	if !d.parkable {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = d.ib.store.DeleteAttempts(ctx, d.db, d.row())
}
