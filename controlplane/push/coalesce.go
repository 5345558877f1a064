package push

import (
	"context"
	"sync"
	"time"
)

// Window says how long changes are gathered before they are pushed.
type Window struct {
	First time.Duration // after the first change since it was quiet
	Quiet time.Duration // after the first change of the next window
	Busy  time.Duration // once windows follow each other without a gap
	Most  time.Duration // however long pushing takes: a window is at least twice the last push
}

// DefaultWindow pushes a lone change after 5 ms and a stream of them every 20 to 50 ms, more slowly only
// if pushing itself is slow.
var DefaultWindow = Window{First: 5 * time.Millisecond, Quiet: 20 * time.Millisecond, Busy: 50 * time.Millisecond, Most: 250 * time.Millisecond}

// Coalescer turns many marks into few calls.
type Coalescer struct {
	w     Window
	flush func()
	hint  chan struct{}

	mu     sync.Mutex
	marked bool
}

// NewCoalescer makes a Coalescer that calls flush from Run.
func NewCoalescer(w Window, flush func()) *Coalescer {
	return &Coalescer{w: w, flush: flush, hint: make(chan struct{}, 1)}
}

// Mark says that there is something to flush. It never blocks.
func (c *Coalescer) Mark() {
	c.mu.Lock()
	c.marked = true
	c.mu.Unlock()
	select {
	case c.hint <- struct{}{}:
	default:
	}
}

func (c *Coalescer) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	marked := c.marked
	c.marked = false
	return marked
}

// Run flushes what is marked until ctx ends.
func (c *Coalescer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.hint:
		}
		for wait := c.w.First; ; {
			if !sleep(ctx, wait) {
				return
			}
			if !c.take() {
				break // a whole window without a mark: quiet again
			}
			start := time.Now()
			c.flush()
			wait = min(max(c.next(wait), 2*time.Since(start)), c.w.Most)
		}
	}
}

// next is the window after one of length d.
func (c *Coalescer) next(d time.Duration) time.Duration {
	if d < c.w.Quiet {
		return c.w.Quiet
	}
	return c.w.Busy
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
