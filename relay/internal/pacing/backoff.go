package pacing

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff doubles a pause from min to max, with jitter of up to half of the pause. Because of the jitter,
// relays that lost the same server do not come back at the same moment.
type Backoff struct {
	min, max, next time.Duration
}

// NewBackoff returns a Backoff whose first pause is min.
func NewBackoff(min, max time.Duration) *Backoff { return &Backoff{min: min, max: max, next: min} }

// Reset makes the next pause the shortest again.
func (b *Backoff) Reset() { b.next = b.min }

// Wait pauses, and reports whether ctx is still alive.
func (b *Backoff) Wait(ctx context.Context) bool {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.max)
	return Sleep(ctx, d, nil)
}

// Sleep waits for d, for a wake-up or for the end of ctx, and reports whether ctx is still alive.
// A nil wake never wakes.
func Sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Signal wakes the goroutine that waits on c. c has a buffer for one signal, which stands for any number of
// signals.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
