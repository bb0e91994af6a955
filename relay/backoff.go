package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff doubles a pause from min to max, with jitter of up to half of it, so that
// relays that lost the same server do not come back in step.
type backoff struct {
	min, max, next time.Duration
}

func newBackoff(min, max time.Duration) *backoff { return &backoff{min: min, max: max, next: min} }

func (b *backoff) reset() { b.next = b.min }

// wait pauses and reports whether ctx is still alive.
func (b *backoff) wait(ctx context.Context) bool {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.max)
	return sleep(ctx, d, nil)
}

// sleep waits for d, a wake-up or the end of ctx, and reports whether ctx is alive.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
