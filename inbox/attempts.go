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

// attempts counts the attempts at a message. The count is in inbox_attempts, in a transaction of its own that
// commits before the handler runs. So an attempt that kills the process counts as well. inbox_events would not do:
// a row there means that the message is done. (The attempts at a message that cannot be parked are counted in
// memory alone.)
type attempts struct {
	made      int  // the current one included; for a message that cannot be parked, those that failed
	countNext bool // the next start is a new attempt; false: it repeats one that the message did not make fail
	counted   bool // the current attempt is counted in the database
	begun     bool // an attempt was counted in this delivery
	killed    bool // the process died in the last attempt that is allowed
}

// isolation runs a message alone, with no other handler of the inbox at the same time, if an earlier attempt at it
// did not return.
type isolation struct {
	suspect bool   // an attempt before this delivery did not return
	alone   bool   // so it runs alone
	leave   func() // leaves the gate; nil: the message is not in the gate
}

// begun is what startAttempt has found.
type begun struct {
	keyBlocked bool // at that time: a message of its key is parked
	done       bool // the id is in inbox_events
}

// row is the message's row in the tables of ids and attempts.
func (d *delivery) row() store.Row { return d.message.row(d.ib.consumer) }

// canPark reports whether m can be parked.
func (ib *Inbox) canPark(m Message) bool { return m.Topic != "" && ib.policy != Halt }

// startAttempt counts the attempt that begins. It isolates the message if an earlier attempt did not return.
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

// countAttempt counts the attempt that begins, if the message can be parked. If more attempts than allowed did not
// return, the message is to be parked.
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
	// No attempt was counted in this delivery yet, so an earlier delivery has one that did not return.
	d.isolation.suspect = d.isolation.suspect || !a.begun && a.counted && s.Attempts > 1
	a.begun = true
	return begun{keyBlocked: s.Blocked && d.message.Key != "", done: s.Done}, nil
}

// isolate makes a message run with no other handler of the inbox at the same time, because the last attempt at it
// did not return. If it kills the process again, the messages that run at that moment would lose an attempt as
// well. After each restart they would be the same ones, and in the end they would be parked. While the message
// waits for its turn it gives its own attempt back, because it may not be the one that kills the process.
func (d *delivery) isolate(ctx context.Context) *failure {
	d.ib.log.Warn("inbox: an earlier attempt at a message did not end (its process was killed in it, "+
		"or stopped after it), running the message alone",
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

// returnTimeout limits the statement that takes an attempt back after the end of ctx.
const returnTimeout = 2 * time.Second

// returnAttempt takes back the current attempt, because the message is not the reason for its end. If that fails, the
// message has lost one attempt.
func (d *delivery) returnAttempt(ctx context.Context) {
	if !d.attempts.counted || d.parkReason != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = d.ib.store.ReturnAttempt(ctx, d.db, d.row())
}

// forgetAttempts deletes the attempts at a message that is done, if the transaction has not deleted them. Otherwise
// the row would stay, and `relay inbox status` would show it for ever.
func (d *delivery) forgetAttempts(ctx context.Context) {
	if !d.parkable {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	_ = d.ib.store.DeleteAttempts(ctx, d.db, d.row())
}
