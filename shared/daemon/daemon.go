// Package daemon runs a process that is a list of tasks: it starts them, ends them on SIGINT or
// SIGTERM or when one fails, and reports readiness.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// A Task is one long-running part of a process.
type Task interface {
	Run(ctx context.Context) error // blocks until ctx ends, then cleans up and returns nil
	String() string                // names the task in logs, errors and readiness
}

// Func makes a Task of a function.
func Func(name string, run func(ctx context.Context) error) Task { return task{name, run} }

type task struct {
	name string
	run  func(ctx context.Context) error
}

func (t task) Run(ctx context.Context) error { return t.run(ctx) }
func (t task) String() string                { return t.name }

// ShutdownGrace is how long tasks have to clean up before Run gives up on them.
const ShutdownGrace = 30 * time.Second

// Run runs the tasks until ctx ends, SIGINT or SIGTERM arrives, or one of them returns an error;
// then it ends the others and waits for them. A task that returns nil before the end is an error:
// a process without one of its parts is not a working process.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var wg sync.WaitGroup
	for _, t := range tasks {
		wg.Go(func() {
			err := t.Run(ctx)
			switch {
			case ctx.Err() != nil:
				if err != nil && !errors.Is(err, context.Canceled) {
					log.Warn("task ended badly", "task", t.String(), "err", err)
				}
			case err != nil:
				cancel(fmt.Errorf("%s: %w", t, err))
			default:
				cancel(fmt.Errorf("%s: ended by itself", t))
			}
		})
	}
	<-ctx.Done()
	stop() // a second signal ends the process at once
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(ShutdownGrace):
		log.Error("tasks did not end in time", "dur", ShutdownGrace)
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
