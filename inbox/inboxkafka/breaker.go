package inboxkafka

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/postroom/postroom/inbox"
)

// breaker pauses a topic for whose messages the handler fails nearly every time, as it does without a table that it
// needs. Otherwise the whole topic would be parked, message by message. While it is open one message is tried after
// each pause, and is parked if it fails, so that a few bad messages in a row do not stop the consumer for good. The
// first one that succeeds ends the pause. Each topic has its own, or messages of a healthy one would wait for turns
// that the others' take.
type breaker struct {
	log   *slog.Logger
	first time.Duration // the pause before the first message that is tried

	mu      sync.Mutex
	score   int // see failed, succeeded and blocked
	open    bool
	pause   time.Duration
	next    time.Time     // when the next message may be tried
	resumed chan struct{} // closed when the pause ends
}

const (
	breakerScore   = 20 // messages that failed for good in a row
	breakerSuccess = 10 // what one success takes off: with more than one in eleven the score does not rise
	breakerBlocked = 5  // the score from which messages that wait behind others of their key count too
	breakerMost    = time.Minute
)

// admit waits until messages may be handled, and returns how many of n; 0 if ctx ended before.
func (b *breaker) admit(ctx context.Context, n int) int {
	for {
		b.mu.Lock()
		if !b.open {
			b.mu.Unlock()
			return n
		}
		now := time.Now()
		if !now.Before(b.next) {
			b.next = now.Add(b.pause)
			b.pause = min(2*b.pause, max(breakerMost, b.first))
			b.mu.Unlock()
			return 1
		}
		timer, resumed := time.NewTimer(b.next.Sub(now)), b.resumed
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0
		case <-resumed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// failed notes that a message failed for good.
func (b *breaker) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(err)
}

// blocked notes that a message was parked behind another of its key. Behind one bad message thousands may wait, and
// that is no reason to stop the other keys; but a topic with few keys, all of which have failed, has no others.
func (b *breaker) blocked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.score >= breakerBlocked {
		b.add(errors.New("messages wait behind failed ones of their keys"))
	}
}

func (b *breaker) add(err error) {
	if b.score++; b.open || b.score < breakerScore {
		return
	}
	b.open, b.pause, b.next, b.resumed = true, b.first, time.Now().Add(b.first), make(chan struct{})
	b.log.Warn("inboxkafka: the handler fails for nearly every message: paused, and trying one message at a time until "+
		"it succeeds; what was parked stays parked: see `relay inbox parked list`", "error", err)
}

// untried gives the turn of a message back, with which the handler was not tried: it was handled before. Thousands of
// those may come after a rebalance.
func (b *breaker) untried() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.next, b.pause = time.Now(), max(b.pause/2, b.first)
	}
}

// succeeded notes that n messages were handled.
func (b *breaker) succeeded(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.score = max(b.score-n*breakerSuccess, 0)
	if !b.open {
		return
	}
	b.open, b.score = false, 0
	close(b.resumed)
	b.log.Info("inboxkafka: the handler succeeds again, going on; retry what was parked with `relay inbox parked retry`")
}

// trial is the handler of one call of Process or ProcessBatch, which tells the breaker how messages end. A batch that
// fails is run message by message, within one call: the trial ends that call when the breaker opens in it.
type trial struct {
	m       *member
	breaker *breaker
	cancel  context.CancelFunc // ends the call
	stopped bool

	last string          // the message that ran alone last
	err  error           // what the handler returned for it
	ran  map[string]bool // ids of those that ran alone
}

// errCommit is for a message that is parked because its effect cannot be committed.
var errCommit = errors.New("the handler's transaction cannot be committed")

// errPaused is what the handler returns to a call that has ended.
var errPaused = errors.New("paused: the handler fails for nearly every message")

func (t *trial) handle(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
	if t.last != "" && t.last != ms[0].ID {
		t.settle(t.err)
		if t.breaker.isOpen() {
			t.stopped = true
			t.cancel()
			return errPaused
		}
	}
	if len(ms) > 1 {
		err := t.m.many(ctx, tx, ms)
		if err == nil {
			t.breaker.succeeded(len(ms))
		}
		return err
	}
	t.last = ms[0].ID
	t.ran[t.last] = true
	// A panic of the handler leaves this behind.
	t.err = errors.New("the handler panicked, or ended its goroutine")
	t.err = t.m.many(ctx, tx, ms)
	return t.err
}

// settle notes how the last message that ran alone came to its end.
func (t *trial) settle(err error) {
	t.last = ""
	if err != nil {
		t.breaker.failed(err)
		return
	}
	t.breaker.succeeded(1)
}

// end notes what the call has come to.
func (t *trial) end(ms []inbox.Message, outcomes []inbox.Outcome) {
	for i, o := range outcomes {
		id := ms[i].ID
		switch {
		case id == t.last && o == inbox.Applied:
			t.settle(nil)
		case id == t.last && o == inbox.Parked:
			t.settle(cmp.Or(t.err, errCommit))
		case o == inbox.Duplicate:
			t.breaker.untried()
		case o == inbox.Parked && ms[i].Err == nil && !t.ran[id]:
			t.breaker.blocked()
		}
	}
}
