package relays

import (
	"context"
	"sync"
	"time"

	"github.com/postroom/postroom/relay"
)

// lateBy is how long a slow worker takes at most in the naive way of rules.KeyOrder.
const lateBy = 5 * time.Second

// workers is the naive way: whichever worker is free publishes the next event, and nobody looks at keys. A worker that
// is slow now and then, as each third event is here, is overtaken by the next event of the same key.
type workers struct {
	sending sync.Mutex // a session takes one call of Deliver at a time
	mu      sync.Mutex
	slow    map[lane]slowWorker
	count   int
	closed  bool
}

// lane is what keeps its order by the rule.
type lane struct{ topic, key string }

// slowWorker has a record and has not published it yet.
type slowWorker struct {
	record *relay.Record
	timer  *time.Timer // publishes it if nothing overtakes it
}

// takeSlow takes each third record out. It comes back behind the next one of its key.
func (d *deliveries) takeSlow(records []*relay.Record) (others []*relay.Record) {
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		of := lane{r.Topic, string(r.Key)}
		if slow, found := w.slow[of]; found {
			slow.timer.Stop()
			delete(w.slow, of)
			others = append(others, r, slow.record)
			continue
		}
		if w.count++; w.count%3 != 0 {
			others = append(others, r)
			continue
		}
		if w.slow == nil {
			w.slow = map[lane]slowWorker{}
		}
		w.slow[of] = slowWorker{r, time.AfterFunc(lateBy, func() { d.publishSlow(of, r) })}
	}
	return others
}

func (d *deliveries) publishSlow(of lane, r *relay.Record) {
	w := &d.workers
	w.sending.Lock()
	defer w.sending.Unlock()
	w.mu.Lock()
	waits := w.slow[of].record == r && !w.closed
	if waits {
		delete(w.slow, of)
	}
	w.mu.Unlock()
	if waits {
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
	for _, one := range slow {
		one.timer.Stop()
		d.ack(one.record, relay.ErrGivenUp)
	}
}
