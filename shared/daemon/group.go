package daemon

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Group runs tasks inside one task: the first error ends the others, and is returned with the task's
// name after all have ended.
func Group(ctx context.Context, tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error {
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
			return nil
		})
	}
	return g.Wait()
}
