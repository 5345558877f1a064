// Package daemon runs a process that is a list of tasks, until a signal or the end of one of them.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strings"
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
// a process without one of its parts is not a working process. So is one that does not end in time.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type end struct {
		task int
		err  error
	}
	ends := make(chan end, len(tasks))
	for i, t := range tasks {
		go func() { ends <- end{i, t.Run(ctx)} }()
	}
	var (
		failed  error // the first reason to end that is no signal
		running = make([]bool, len(tasks))
		left    = len(tasks)
		ending  = ctx.Done()
		late    <-chan time.Time
	)
	for i := range running {
		running[i] = true
	}
	for left > 0 || ending != nil {
		select {
		case <-ending:
			ending = nil
			stop() // a second signal ends the process at once
			late = time.After(ShutdownGrace)
		case e := <-ends:
			running[e.task] = false
			left--
			t := tasks[e.task]
			switch {
			case ctx.Err() != nil:
				if e.err != nil && !errors.Is(e.err, context.Canceled) {
					log.Warn("task ended badly", "task", t.String(), "err", e.err)
				}
			case e.err != nil:
				failed = fmt.Errorf("%s: %w", t, e.err)
			default:
				failed = fmt.Errorf("%s: ended by itself", t)
			}
			if failed != nil {
				cancel()
			}
		case <-late:
			var names []string
			for i, t := range tasks {
				if running[i] {
					names = append(names, t.String())
				}
			}
			log.Error("tasks did not end in time", "tasks", names, "dur", ShutdownGrace)
			if failed == nil {
				failed = fmt.Errorf("%s: not ended after %s", strings.Join(names, ", "), ShutdownGrace)
			}
			return failed
		}
	}
	return failed
}
