// Package pacing bounds what the handlers of an inbox do beside one another: Gate lets one run alone, and BatchSize
// says how many messages share a transaction. It knows no database.
package pacing

import (
	"context"
	"sync"
	"time"
)

// aloneFor bounds how long a message that is to run alone waits for those that run, and how long it keeps others from
// beginning: a handler that is slow, or never returns, must not stop all others of its process. Past it they run beside
// it: if it kills the process after all, they have lost one attempt.
const aloneFor = 10 * time.Second

// Gate lets handlers run beside one another, or one alone. The zero value is open. Safe for use by many goroutines.
type Gate struct {
	mu      sync.Mutex
	inside  int
	alone   *time.Timer   // one is inside that is alone; nil: none
	waiting int           // so many want to be; nobody else begins before them
	changed chan struct{} // closed when someone has left, if anyone waits for that
}

// Enter waits until the caller may begin, or until ctx ends. Where there is no error leave must be called.
func (g *Gate) Enter(ctx context.Context, alone bool) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var patience <-chan time.Time
	if alone {
		g.waiting++
		defer func() { g.waiting-- }()
		timer := time.NewTimer(aloneFor)
		defer timer.Stop()
		patience = timer.C
	}
	for late := false; g.alone != nil || alone && g.inside > 0 && !late || !alone && g.waiting > 0; {
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		case <-patience:
			late = true
		}
		g.mu.Lock()
		if err := ctx.Err(); err != nil {
			if alone {
				g.wake() // of those that wait for this one
			}
			return nil, err
		}
	}
	g.inside++
	if !alone {
		return g.leave, nil
	}
	open := g.closeFor(aloneFor)
	return func() {
		open()
		g.leave()
	}, nil
}

// closeFor keeps everybody else out until open is called, or d has passed. g.mu is held.
func (g *Gate) closeFor(d time.Duration) (open func()) {
	var own *time.Timer
	open = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		own.Stop()
		if g.alone == own { // and not the next one's
			g.alone = nil
			g.wake()
		}
	}
	own = time.AfterFunc(d, func() { open() })
	g.alone = own
	return open
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.wake()
}

func (g *Gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}
