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
	defer signal.Stop(signals)
	r := &process{
		log: log, drain: drain, tasks: tasks, ctx: ctx, begin: drain.Begin, left: len(tasks), running: make([]bool, len(tasks)),
		end: func() {
			signal.Stop(signals) // the next one kills
			cancel()
		},
	}
	defer r.waiting.Wait()
	ends := make(chan taskEnd, len(tasks))
	for i, t := range tasks {
		r.running[i] = true
		go func() { ends <- taskEnd{i, t.Run(ctx)} }()
	}
	ending := ctx.Done()
	var late <-chan time.Time
	for r.left > 0 || ending != nil {
		select {
		case sig := <-signals:
			r.signalled(sig.(syscall.Signal))
		case <-r.begin:
			r.begins(true)
		case <-r.drained:
			r.drained, r.begin = nil, nil
			r.end()
		case <-ending:
			ending = nil
			r.end()
			late = time.After(ShutdownGrace)
		case e := <-ends:
			r.ended(e)
		case <-late:
			return r.tooLate()
		}
	}
	return r.failed
}

// taskEnd is how a task ended.
type taskEnd struct {
	task int
	err  error
}

// process is what RunDraining keeps. One goroutine uses it.
type process struct {
	log     *slog.Logger
	drain   Drain
	tasks   []Task
	ctx     context.Context // of the tasks
	end     func()          // ends ctx; a signal that comes later kills
	begin   <-chan struct{} // nil: it has
	drained chan struct{}   // closed when draining is over; nil: it has not begun
	waiting sync.WaitGroup  // for the drain
	running []bool          // by task
	left    int             // tasks that run
	failed  error           // the first reason to end that is no signal
}

// begins drains, and ends at once if there is nothing to drain.
func (p *process) begins(told bool) {
	p.begin = nil
	if p.drain.Do == nil {
		p.end()
		return
	}
	p.log.Info("draining", "told", told)
	drained := make(chan struct{})
	p.drained = drained
	p.waiting.Go(func() { p.drain.Do(p.ctx, told); close(drained) })
}

func (p *process) signalled(sig syscall.Signal) {
	switch {
	case p.ctx.Err() != nil: // it came when the end began: before signals killed
		p.end()
		_ = syscall.Kill(os.Getpid(), sig)
	case p.drained == nil:
		p.begins(false)
	default:
		p.log.Info("told again: ending now, the next signal kills", "dur", ShutdownGrace)
		p.end()
	}
}

// ended takes note of a task's end.
func (p *process) ended(e taskEnd) {
	p.running[e.task] = false
	p.left--
	t := p.tasks[e.task]
	switch {
	case p.ctx.Err() != nil:
		if e.err != nil && !errors.Is(e.err, context.Canceled) {
			p.log.Warn("task ended badly", "task", t.String(), "err", e.err)
		}
	case e.err != nil:
		p.failed = fmt.Errorf("%s: %w", t, e.err)
	default:
		p.failed = fmt.Errorf("%s: ended by itself", t)
	}
	if p.failed != nil {
		p.end()
	}
}

// tooLate names the tasks that did not end.
func (p *process) tooLate() error {
	var names []string
	for i, t := range p.tasks {
		if p.running[i] {
			names = append(names, t.String())
		}
	}
	p.log.Error("tasks did not end in time", "tasks", names, "dur", ShutdownGrace)
	if p.failed == nil {
		p.failed = fmt.Errorf("%s: not ended after %s", strings.Join(names, ", "), ShutdownGrace)
	}
	return p.failed
}
