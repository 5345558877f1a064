package httpproxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// dialTrust is for how long a request waits for what others have begun to dial.
const dialTrust = time.Second

// errUnneeded ends a dial whose request has a connection. The transport tells nobody.
var errUnneeded = errors.New("the request has another connection")

// dials keeps a pool from making more connections than requests wait for. The transport begins a dial for each request that
// finds none idle, and goes on with it when the request is given one that another has brought back: where dials take
// their time, as on a busy machine, each request would cost one, as if none were kept. So a dial waits while as many are
// in progress as requests wait, and is left when its own does not wait any more.
type dials struct {
	waiting atomic.Int64 // requests without a connection
	held    atomic.Int64 // as many as there are in queue, or are about to be

	mu     sync.Mutex
	coming int     // guarded by mu; dials in progress, and connections that no request was given yet
	queue  []*held // guarded by mu; longest first
}

// held is a dial that waits.
type held struct {
	of  *wanting
	end chan error // holds one: nil is to go on
}

// wanting is what a pool knows of a request.
type wanting struct {
	waits atomic.Bool   // for a connection of the pool
	times atomic.Uint32 // that it began to: again when what it was given was dead
}

// want counts a request that waits. It may be called again.
func (d *dials) want(w *wanting) {
	if !w.waits.Swap(true) {
		w.times.Add(1)
		d.waiting.Add(1)
	}
}

// has is the end of that. It may be called again, or without a want.
func (d *dials) has(w *wanting) {
	if !w.waits.Swap(false) {
		return
	}
	if d.waiting.Add(-1); d.held.Load() > 0 { // who is about to be held looks at waiting after that is said
		d.mu.Lock()
		d.settleLocked()
		d.mu.Unlock()
	}
}

// do dials when that is needed. The error wraps errUnneeded when it is not: nobody waits for it then.
func (d *dials) do(ctx context.Context, w *wanting, dial func() (net.Conn, error)) (net.Conn, error) {
	nth := w.times.Load()
	if err := d.begin(ctx, w); err != nil {
		return nil, dialError{err}
	}
	c, err := dial()
	if err != nil {
		d.failed(w, nth)
		return nil, err
	}
	under(c).(*kept).coming.Store(d)
	return c, nil
}

// came is the end of what was coming: somebody was given it and has was told, or nobody will be.
func (d *dials) came() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.coming--
	d.settleLocked() // somebody may have been held since has
}

// failed is came for a dial whose error its request is given, if it still waits for the nth time.
func (d *dials) failed(w *wanting, nth uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.coming--; !w.waits.Load() || w.times.Load() != nth { // else has follows
		d.settleLocked()
	}
}

// begin waits until a dial is needed, and counts it.
func (d *dials) begin(ctx context.Context, w *wanting) error {
	d.held.Add(1)
	defer d.held.Add(-1)
	h := &held{w, make(chan error, 1)}
	d.mu.Lock()
	d.queue = append(d.queue, h)
	d.settleLocked()
	d.mu.Unlock()
	late := time.NewTimer(dialTrust)
	defer late.Stop()
	var gone error
	select {
	case err := <-h.end:
		return err
	case <-ctx.Done():
		gone = ctx.Err()
	case <-late.C:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.queue, h); i >= 0 {
		d.queue = slices.Delete(d.queue, i, i+1)
		d.coming++
	} else if err := <-h.end; err != nil {
		return err
	}
	if gone != nil {
		d.coming--
		d.settleLocked()
	}
	return gone
}

// settleLocked lets go on who is needed, and go who is not.
func (d *dials) settleLocked() {
	d.queue = slices.DeleteFunc(d.queue, func(h *held) bool {
		switch {
		case !h.of.waits.Load():
			h.end <- errUnneeded
		case int64(d.coming) < d.waiting.Load():
			d.coming++
			h.end <- nil
		default:
			return false
		}
		return true
	})
}
