package streams

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/shared/backoff"
)

// dialler keeps as many stream connections as the node asks for, as long as a session lasts.
type dialler struct {
	link    *link
	session *session
	want    atomic.Int32
	poke    chan struct{} // holds one: there may be too few connections
	failed  chan bool     // what came of connections

	mu    sync.Mutex
	live  int            // guarded by mu; connections and attempts
	idle  map[*wire]bool // guarded by mu; those that carry no stream
	ended bool           // guarded by mu
}

// look makes run compare again.
func (d *dialler) look() {
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

// run dials until ctx ends, then waits for its attempts. What fails is tried again after a while, by all
// attempts together.
func (d *dialler) run(ctx, streams context.Context) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	slots := make(chan struct{}, dialsMost)
	wait := backoff.Backoff{Max: retryMost}
	for {
		for d.begin() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				d.ends(1)
				return
			}
			attempts.Go(func() {
				ok := d.attempt(ctx, streams)
				<-slots
				if !ok {
					d.report(true)
					d.ends(1)
				}
				d.look()
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-d.poke:
		}
		if !d.settle(ctx, &wait) {
			return
		}
	}
}

// report tells what came of a connection. What nobody has looked at yet is enough to know.
func (d *dialler) report(failed bool) {
	select {
	case d.failed <- failed:
	default:
	}
}

// settle waits a while if attempts have failed since it was last called.
func (d *dialler) settle(ctx context.Context, wait *backoff.Backoff) bool {
	bad := false
	for {
		select {
		case f := <-d.failed:
			if bad = bad || f; !f {
				wait.Reset()
			}
			continue
		default:
		}
		return !bad || wait.Wait(ctx)
	}
}

// begin counts one more attempt, if there are too few connections.
func (d *dialler) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || d.live >= int(d.want.Load()) {
		return false
	}
	d.live++
	return true
}

// ends counts connections or attempts that are over.
func (d *dialler) ends(n int) {
	d.mu.Lock()
	d.live -= n
	d.mu.Unlock()
	d.look()
}

// attempt makes one connection and has it served.
func (d *dialler) attempt(ctx, streams context.Context) bool {
	conn, err := d.link.c.connect(ctx, d.link.to, d.link.tls[1])
	if err != nil {
		if ctx.Err() == nil {
			d.link.c.m.fails.WithLabelValues(d.link.c.speaks.stream).Inc()
			d.link.log.Debug("stream connection not made", "peer", d.link.to, "err", err)
		}
		return false
	}
	d.link.conns.Go(func() {
		d.link.c.m.conns.Inc()
		defer d.link.c.m.conns.Dec()
		defer d.ends(1)
		d.serve(streams, &wire{tls: conn})
	})
	return true
}

// serve carries one stream after the other, until the connection or the session ends.
func (d *dialler) serve(ctx context.Context, w *wire) {
	defer w.abort()
	stop := context.AfterFunc(ctx, w.abort)
	defer stop()
	again := make(chan bool, 1)
	// One that the node closes before it was any use is as good as none: it has others, of a process that was here
	// before or of a copy of this one, and has not noticed yet that they are gone.
	begun, used := time.Now(), false
	defer func() { d.report(!used && time.Since(begun) < youngest) }()
	for d.rest(w) {
		err := w.next()
		d.leave(w)
		used = used || err == nil
		s := &stream{wire: w, owner: lender{d.link, again}}
		switch err {
		case nil:
			d.session.use()
			d.carry(ctx, s)
		case io.EOF, errGone: // the node has thought better of it
			s.ended = err
			_ = s.Close()
		default: // the node has closed it, or says nonsense
			return
		}
		if !<-again {
			return
		}
	}
}

// carry has one stream carried.
func (d *dialler) carry(ctx context.Context, s *stream) {
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	d.link.c.opts.Handler(ctx, s, d.link.node)
}

// rest marks a wire as idle; false when the session is over.
func (d *dialler) rest(w *wire) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return false
	}
	d.idle[w] = true
	return true
}

// leave marks a wire as busy or gone.
func (d *dialler) leave(w *wire) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.idle, w)
}

// end closes what is idle. Streams in progress go on, and their connections end with them.
func (d *dialler) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for w := range d.idle {
		w.abort()
	}
}

// lender is the owner of a wire at the connector.
type lender struct {
	link  *link
	again chan bool // takes one
}

func (l lender) background(f func()) bool {
	l.link.conns.Go(f) // the wire's own goroutine is counted while f is asked for
	return true
}

func (l lender) release(_ *wire, again bool) { l.again <- again }
