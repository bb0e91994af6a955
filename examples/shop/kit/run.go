package kit

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run runs the parts of a service until ctx ends. When one fails, the others are stopped, and Run returns its error:
// a process that does half of its work is worse than one that is started again.
func Run(ctx context.Context, parts ...func(ctx context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}

// again is how long Again waits.
const again = time.Second

// Again returns a part that is run again, a second later, when it fails. It is for what needs a broker: while the
// broker is down, the other parts go on, for example requests that only need the database.
func Again(log *slog.Logger, part func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for {
			err := part(ctx)
			if err == nil || ctx.Err() != nil {
				return nil
			}
			log.ErrorContext(ctx, "failed; is run again", "error", err)
			select {
			case <-time.After(again):
			case <-ctx.Done():
				return nil
			}
		}
	}
}
