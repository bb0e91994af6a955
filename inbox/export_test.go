package inbox

import (
	"context"
	"time"
)

// WithSleep replaces the clock that Process pauses by.
func WithSleep(sleep func(ctx context.Context, d time.Duration) error) Option {
	return func(c *config) { c.sleep = sleep }
}

// MaxLosses is how many lost connections are not counted as attempts, plus one.
const MaxLosses = maxLosses

// MaxConflicts is the same for conflicts.
const MaxConflicts = maxConflicts

// WithStallAfter says when a wait is logged.
func WithStallAfter(d time.Duration) Option { return func(c *config) { c.stallAfter = d } }

// WithTurn says how long a key's turn in a replay takes at most.
func WithTurn(d time.Duration) Option { return func(c *config) { c.turn = d } }
