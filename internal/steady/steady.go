// Package steady makes load at a steady rate, for relay demo and the rigs. It needs only the standard library.
package steady

import (
	"context"
	"time"
)

// Load says when calls are due. Its zero value makes one after another without a pause.
type Load struct {
	First time.Duration // until the first call
	Every time.Duration // from one call to the next
	Limit int           // calls; 0: until the context ends
}

// Run calls do with 0, 1, 2 and so on, each when it is due, until there were enough of them or ctx ends, and then
// returns nil; an error of do ends it at once, and is returned. A call that takes long delays those after it, which
// follow without a pause until they have caught up: the rate is kept over time. It calls do from the caller's
// goroutine.
func (l Load) Run(ctx context.Context, do func(n int) error) error {
	due := time.Now().Add(l.First)
	timer := time.NewTimer(l.First)
	defer timer.Stop()
	for n := 0; l.Limit == 0 || n < l.Limit; n++ {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if ctx.Err() != nil { // both were ready
			return nil
		}
		if err := do(n); err != nil {
			return err
		}
		due = due.Add(l.Every)
	}
	return nil
}
