package streams

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/endpoint"
)

// Bounds of a link.
const (
	connectTime = 2500 * time.Millisecond // of TCP: a SYN sent into a cut is not waited for when the cut is over
	retryMost   = 2 * time.Second         // between attempts
	dialsMost   = 16                      // at once
	leaveTime   = time.Minute             // for streams of a node that is no longer ours
	youngest    = time.Second             // a connection that is closed unused before that was not wanted
)

// link is what who dials has towards one node.
type link struct {
	c     *Connector
	node  string
	to    endpoint.Endpoint
	log   *slog.Logger
	tls   [2]*tls.Config          // control, stream
	conns sync.WaitGroup          // everything that serves a wire
	now   atomic.Pointer[session] // nil: none
	other atomic.Bool             // the node has said that somebody else connected as us
}

func newLink(c *Connector, node string, to endpoint.Endpoint) *link {
	// One session for both protocols: the handshake of the control connection makes the others cheap.
	sessions := &newest{}
	l := &link{c: c, node: node, to: to, log: c.opts.Log.With("node", node)}
	for i, p := range []string{c.speaks.control, c.speaks.stream} {
		l.tls[i] = clientTLS(c.opts.Credentials, node, p, sessions)
	}
	return l
}

// run keeps the link until wanted ends. Then streams have leaveTime, or until ctx ends.
func (l *link) run(ctx, wanted context.Context) {
	streams, cut := context.WithCancel(ctx)
	defer cut()
	wait, replaced := backoff.Backoff{Max: retryMost}, backoff.Backoff{Min: comeBackLeast, Max: comeBackMost}
	var last time.Time // when we were replaced
	for wanted.Err() == nil {
		begun := time.Now()
		err := l.session(streams, wanted, wait.Reset)
		if wanted.Err() != nil {
			break
		}
		l.log.Debug("stream carrier away", "peer", l.to, "err", err)
		again := false
		if now := time.Now(); l.other.Swap(false) {
			again, last = now.Sub(last) < twiceWithin, now
		}
		if again {
			l.c.replaced(l.node)
			if !pause(wanted, comeBack(&replaced, last.Sub(begun))) {
				break
			}
		} else if !wait.Wait(wanted) {
			break
		}
	}
	late := time.AfterFunc(leaveTime, cut)
	defer late.Stop()
	l.conns.Wait()
}

// pause lets some time pass; false as soon as ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// session keeps one control connection, and stream connections beside it.
func (l *link) session(streams, wanted context.Context, up func()) error {
	ctx, cancel := context.WithCancel(wanted)
	defer cancel()
	conn, err := l.c.connect(ctx, l.to, l.tls[0])
	if err != nil {
		l.c.m.fails.WithLabelValues(l.c.speaks.control).Inc()
		return err
	}
	watch(conn, watchPatience)
	s := newSession(conn, false, retryAfter)
	d := &dialler{link: l, session: s, poke: make(chan struct{}, 1), failed: make(chan bool, dialsMost), idle: map[*wire]bool{}}
	s.flags = l.flags
	s.heard = func(m message) {
		switch m.kind {
		case kindWant:
			d.want.Store(int32(min(m.want, mostConns)))
			d.look()
		case kindReplaced:
			l.other.Store(true)
		case kindAsk:
			if m.flags&flagStuck != 0 && l.c.opts.Missed != nil {
				l.c.opts.Missed(l.node)
			}
		}
	}
	s.changed = func() {
		level := slog.LevelInfo
		if l.c.others.any() { // it will go on like that
			level = slog.LevelDebug
		}
		l.log.Log(ctx, level, "stream carrier changed", "up", s.usable.Load())
		if s.usable.Load() {
			up()
			l.c.m.nodes.Inc()
		} else {
			l.c.m.nodes.Dec()
		}
		l.c.watched(l.node, s.usable.Load())
	}
	l.now.Store(s)
	defer l.now.Store(nil)
	var dialling sync.WaitGroup
	dialling.Go(func() { d.run(ctx, streams) })
	ended := s.run(ctx)
	if s.usable.Swap(false) {
		s.changed()
	}
	cancel()
	dialling.Wait()
	d.end()
	return ended
}

// flags are what our asks say of the tunnel.
func (l *link) flags() (flags byte) {
	if l.c.opts.TUN() {
		flags |= flagTUN
	}
	if l.c.opts.Stuck != nil && l.c.opts.Stuck(l.node) {
		flags |= flagStuck
	}
	return flags
}

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

// newest is a cache of one TLS session.
type newest struct {
	session atomic.Pointer[tls.ClientSessionState]
}

func (n *newest) Get(string) (*tls.ClientSessionState, bool) {
	s := n.session.Load()
	return s, s != nil
}

func (n *newest) Put(_ string, s *tls.ClientSessionState) { n.session.Store(s) }
