// Package pacing limits what the handlers of an inbox do at the same time: Gate can let one handler run alone, and
// BatchSize says how many messages share a transaction. It does not use a database.
package pacing

import (
	"context"
	"sync"
	"time"
)

// aloneFor limits how long a message that must run alone waits for the handlers that run, and how long others wait for
// it. A handler that is slow, or never returns, must not stop all others of its process. After this time they run at
// the same time. If the message then kills the process, the others lose one attempt.
const aloneFor = 10 * time.Second

// Gate lets several handlers run at the same time, or one alone. The zero value is open. Safe for concurrent use.
type Gate struct {
	mu      sync.Mutex
	inside  int
	alone   *time.Timer   // not nil: a handler runs alone, until then at the latest
	waiting int           // handlers that wait to run alone; no other handler begins before them
	changed chan struct{} // closed when a handler has left; nil: nobody waits for that
}

// Enter waits until the caller may begin, or until ctx ends. If it returns no error, call leave at the end.
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
				g.wake() // others may wait for this one
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

// closeFor lets nobody else begin until open is called, or d has passed. The caller holds g.mu.
func (g *Gate) closeFor(d time.Duration) (open func()) {
	var own *time.Timer
	open = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		own.Stop()
		if g.alone == own { // otherwise the gate is closed for another handler
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
