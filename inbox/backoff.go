package inbox

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is an exponential pause with jitter.
type backoff struct{ min, max time.Duration }

// conflictBackoff is for transactions that the database ended because of another
// one: that one is about to be over, so the pause is short.
var conflictBackoff = backoff{min: 2 * time.Millisecond, max: 500 * time.Millisecond}

// after returns the pause after the n-th failure, n from 1: between half of
// min × 2^(n−1) and all of it, at most max.
func (b backoff) after(n int) time.Duration {
	d := b.max
	if shift := n - 1; shift < 62 && b.min <= b.max>>shift {
		d = b.min << shift
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d, or returns ctx's error as soon as ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
