package kit

import (
	"context"

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
