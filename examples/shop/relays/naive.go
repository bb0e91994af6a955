package relays

import (
	"context"
	"sync"
	"time"

	"github.com/postroom/postroom/relay"
)

// lateBy is how long a slow worker takes in the naive way of rules.KeyOrder.
const lateBy = 2 * time.Second

// workers is the naive way: whichever worker is free publishes the next event, and nobody looks at keys. A worker that
// is slow now and then, as each third event is here, is overtaken by the later events of the same key.
type workers struct {
	sending sync.Mutex // a session takes one call of Deliver at a time
	mu      sync.Mutex
	slow    map[*relay.Record]*time.Timer
	count   int
	closed  bool
}

// takeSlow takes each third record out, and publishes it later.
func (d *deliveries) takeSlow(records []*relay.Record) (fast []*relay.Record) {
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		if w.count++; w.count%3 != 0 {
			fast = append(fast, r)
			continue
		}
		if w.slow == nil {
			w.slow = map[*relay.Record]*time.Timer{}
		}
		w.slow[r] = time.AfterFunc(lateBy, func() { d.publishSlow(r) })
	}
	return fast
}

func (d *deliveries) publishSlow(r *relay.Record) {
	w := &d.workers
	w.sending.Lock()
	defer w.sending.Unlock()
	w.mu.Lock()
	_, waits := w.slow[r]
	delete(w.slow, r)
	closed := w.closed
	w.mu.Unlock()
	if waits && !closed {
		d.session.Deliver(context.Background(), []*relay.Record{r})
	}
}

// giveUpSlow acknowledges what has not been published when the session ends. The next session publishes it.
func (d *deliveries) giveUpSlow() {
	w := &d.workers
	w.mu.Lock()
	slow := w.slow
	w.slow, w.closed = nil, true
	w.mu.Unlock()
	for r, timer := range slow {
		timer.Stop()
		d.ack(r, relay.ErrGivenUp)
	}
}
