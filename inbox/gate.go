package inbox

import (
	"context"
	"sync"
)

// gate lets handlers run beside one another, or one alone. The zero value is open.
type gate struct {
	mu      sync.Mutex
	inside  int
	alone   bool          // one is inside that wants to be alone
	waiting int           // so many want to be; nobody else begins before them
	changed chan struct{} // closed when someone has left, if anyone waits for that
}

// enter waits until the caller may begin, or until ctx ends. Each nil error wants a leave.
func (g *gate) enter(ctx context.Context, alone bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if alone {
		g.waiting++
		defer func() { g.waiting-- }()
	}
	for g.alone || alone && g.inside > 0 || !alone && g.waiting > 0 {
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		g.mu.Lock()
		if err := ctx.Err(); err != nil {
			if alone {
				g.wake() // of those that wait for this one
			}
			return err
		}
	}
	g.inside++
	g.alone = alone
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.alone = false
	g.wake()
}

func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}
