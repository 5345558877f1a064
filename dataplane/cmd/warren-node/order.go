package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/shared/daemon"
)

// carryTime is how long the ways to targets outlive the listeners, for what clients have under way. What follows
// on it, streams of other nodes that come to their end, fits into the rest of daemon.ShutdownGrace.
const carryTime = 18 * time.Second

// drain is what happens between a signal and the end: others stop naming this node at once, and who has just
// been told of it is still served. Whoever was told to drain by the control plane has waited already.
func drain(leave func(), most time.Duration) func(ctx context.Context, told bool) {
	return func(ctx context.Context, told bool) {
		if told {
			return
		}
		leave()
		timer := time.NewTimer(most)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// end is the order in which the tasks of a node end, so that nobody who was let in finds something gone that was
// promised: first the other nodes are told, then listeners close, then those end who take connections from the
// TLS port, last the ways to targets.
type end struct {
	told   <-chan struct{} // the other nodes know
	handed <-chan struct{} // nothing more is handed over
	left   atomic.Int32    // tasks that have connections of clients, or streams of other nodes
	served chan struct{}   // closed when there are none
}

func newEnd(told, handed <-chan struct{}) *end {
	return &end{told: told, handed: handed, served: make(chan struct{})}
}

// listener makes a task that takes connections of clients, or streams of other nodes, until those name this one to
// nobody.
func (e *end) listener(name string, run func(context.Context) error) daemon.Task {
	return e.client(name, run, func() { <-e.told })
}

// taker makes a task that takes connections from another listener.
func (e *end) taker(name string, run func(context.Context) error) daemon.Task {
	return e.client(name, run, func() { <-e.handed })
}

// carrier makes a task that clients' connections and streams of other nodes need.
func (e *end) carrier(name string, run func(context.Context) error) daemon.Task {
	return late(name, run, func() {
		<-e.told
		timer := time.NewTimer(carryTime)
		defer timer.Stop()
		select {
		case <-e.served:
		case <-timer.C:
		}
	})
}

func (e *end) client(name string, run func(context.Context) error, wait func()) daemon.Task {
	e.left.Add(1)
	return late(name, func(ctx context.Context) error {
		defer func() {
			if e.left.Add(-1) == 0 {
				close(e.served)
			}
		}()
		return run(ctx)
	}, wait)
}

// after makes a task's function begin when a channel is closed, or with the end of its context.
func after(begin <-chan struct{}, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-begin:
		case <-ctx.Done():
		}
		return run(ctx)
	}
}

// late makes a task that ends later than it is told to: after a wait.
func late(name string, run func(context.Context) error, wait func()) daemon.Task {
	return daemon.Func(name, func(ctx context.Context) error {
		later, end := context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		stop := context.AfterFunc(ctx, func() { wait(); end() })
		defer stop()
		return run(later)
	})
}
