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

// breaker pauses a topic if the handler fails for nearly every message of it, for example because a table is missing.
// Without it, the whole topic would be parked. While the breaker is open, one message is tried after each pause, and
// is parked if it fails. So a few bad messages in a row do not stop the consumer forever. The first success closes the
// breaker. Each topic has its own breaker, so that a healthy topic does not wait for others.
type breaker struct {
	log   *slog.Logger
	first time.Duration // the first pause

	mu      sync.Mutex
	score   int // see failed, succeeded and blocked
	open    bool
	pause   time.Duration
	next    time.Time     // when the next message may be tried
	resumed chan struct{} // closed when the pause ends
}

const (
	breakerScore   = 20 // messages that failed for good in a row
	breakerSuccess = 10 // a success lowers the score by this; so one success in eleven messages keeps the score low
	breakerBlocked = 5  // from this score on, messages that wait behind others of their key count too
	breakerMost    = time.Minute
)

// admit waits until messages may be handled, and returns how many of n. It returns 0 if ctx has ended.
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

// failed counts a message that was parked because its handler failed.
func (b *breaker) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(err)
}

// blocked counts a message that was parked behind another one of its key. Thousands may wait behind one bad message,
// which is no reason to pause the other keys. But a topic with few keys may have only failed ones.
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
	b.log.Warn("inboxkafka: the handler fails for nearly every message: the topic is paused, and one message at a "+
		"time is tried until one succeeds; parked messages stay parked: see `relay inbox parked list`", "error", err)
}

// duplicate lets the next message be tried at once: the handler did not run for this one. Thousands of duplicates may
// come after a rebalance.
func (b *breaker) duplicate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.next, b.pause = time.Now(), max(b.pause/2, b.first)
	}
}

// succeeded counts n messages that were handled.
func (b *breaker) succeeded(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.score = max(b.score-n*breakerSuccess, 0)
	if !b.open {
		return
	}
	b.open, b.score = false, 0
	close(b.resumed)
	b.log.Info("inboxkafka: the handler succeeds again, so the topic continues; retry parked messages with `relay " +
		"inbox parked retry`")
}

// trial wraps the handler for one call of Process or ProcessBatch, and reports the results to the breaker. Within one
// call, a failed batch is run again message by message. The trial ends the call if the breaker opens meanwhile.
type trial struct {
	m       *member
	breaker *breaker
	cancel  context.CancelFunc // ends the call
	stopped bool

	last string          // id of the last message that ran alone
	err  error           // the handler's error for it
	ran  map[string]bool // ids of all messages that ran alone
}

// errCommit is counted for a message that was parked because its transaction could not be committed.
var errCommit = errors.New("the handler's transaction cannot be committed")

// errPaused is the handler's error after the breaker has ended the call.
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
	// This error stays if the handler panics.
	t.err = errors.New("the handler panicked, or ended its goroutine")
	t.err = t.m.many(ctx, tx, ms)
	return t.err
}

// settle reports the result of the last message that ran alone.
func (t *trial) settle(err error) {
	t.last = ""
	if err != nil {
		t.breaker.failed(err)
		return
	}
	t.breaker.succeeded(1)
}

// end reports the outcomes of the call.
func (t *trial) end(ms []inbox.Message, outcomes []inbox.Outcome) {
	for i, o := range outcomes {
		id := ms[i].ID
		switch {
		case id == t.last && o == inbox.Applied:
			t.settle(nil)
		case id == t.last && o == inbox.Parked:
			t.settle(cmp.Or(t.err, errCommit))
		case o == inbox.Duplicate:
			t.breaker.duplicate()
		case o == inbox.Parked && ms[i].Err == nil && !t.ran[id]:
			t.breaker.blocked()
		}
	}
}
