// Package daemon runs a process that is a list of tasks, until a signal or the end of one of them.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
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

// A Drain is what a process does between being told to end and ending its tasks: tell others, and go on
// serving until they have stopped coming.
type Drain struct {
	// Begin, when it closes, ends the process as a signal does. It may be nil.
	Begin <-chan struct{}
	// Do blocks until the tasks may end. Its context ends with a signal, beside the one that began it, or when a
	// task ends. told says whether Begin closed, as opposed to a signal.
	Do func(ctx context.Context, told bool)
}

// Run runs the tasks until ctx ends, SIGINT or SIGTERM arrives, or one of them returns an error;
// then it ends the others and waits for them. A task that returns nil before the end is an error:
// a process without one of its parts is not a working process. So is one that does not end in time.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	return RunDraining(ctx, log, Drain{}, tasks...)
}

// RunDraining is Run that drains between the signal and the end. The end of ctx and that of a task leave no time for it.
//
// The next signal cuts the drain short: the tasks end in their order, within ShutdownGrace. A signal that comes while
// they do ends the process on the spot, as it would a program that knows nothing of signals.
func RunDraining(ctx context.Context, log *slog.Logger, drain Drain, tasks ...Task) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stop := func() { signal.Stop(signals) } // the next signal kills
	defer stop()
	begin := drain.Begin
	var drained chan struct{} // closed when draining is over; nil: it has not begun
	var waiting sync.WaitGroup
	defer waiting.Wait()
	begins := func(told bool) {
		begin = nil
		if drain.Do == nil {
			stop()
			cancel()
			return
		}
		log.Info("draining", "told", told)
		drained = make(chan struct{})
		waiting.Go(func() { drain.Do(ctx, told); close(drained) })
	}

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
		case sig := <-signals:
			switch {
			case ctx.Err() != nil: // it came before stop
				stop()
				_ = syscall.Kill(os.Getpid(), sig.(syscall.Signal))
			case drained == nil:
				begins(false)
			default:
				log.Info("told again: ending now, the next signal kills", "dur", ShutdownGrace)
				stop()
				cancel()
			}
		case <-begin:
			begins(true)
		case <-drained:
			drained, begin = nil, nil
			cancel()
		case <-ending:
			ending = nil
			stop()
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
