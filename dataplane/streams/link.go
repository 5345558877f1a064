package streams

import (
	"context"
	"crypto/tls"
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

// newest is a cache of one TLS session.
type newest struct {
	session atomic.Pointer[tls.ClientSessionState]
}

func (n *newest) Get(string) (*tls.ClientSessionState, bool) {
	s := n.session.Load()
	return s, s != nil
}

func (n *newest) Put(_ string, s *tls.ClientSessionState) { n.session.Store(s) }
