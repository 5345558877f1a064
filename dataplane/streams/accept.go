package streams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/warrenedge/warren/shared/identity"
)

// Serve takes connections from l, whose TLS has not begun, until ctx ends. Then streams in progress have a
// little time to end.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer n.end()
	var sweeper sync.WaitGroup
	defer sweeper.Wait()
	defer cancel()
	sweeper.Go(func() { n.sweep(ctx) })

	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("streams: accept: %w", err)
		}
		if !n.background(func() { n.serve(ctx, conn) }) {
			_ = conn.Close()
		}
	}
}

// serve makes a connection part of a pool.
func (n *Node) serve(ctx context.Context, raw net.Conn) {
	conn := tls.Server(raw, n.tls)
	shaken := n.shaking.Begin(raw)
	err := handshake(ctx, conn)
	shaken()
	if err != nil {
		_ = raw.Close()
		n.m.refused("handshake")
		n.log.Debug("stream connection refused", "peer", raw.RemoteAddr(), "err", err)
		return
	}
	cs := conn.ConnectionState()
	id, err := identity.FromCertificate(cs.PeerCertificates[0])
	p := n.pool(id.ID, true)
	if err != nil || p == nil { // it was admitted a moment ago
		_ = raw.Close()
		n.m.refused("unknown")
		return
	}
	if v, ok := raw.(interface{ Vouch() }); ok {
		v.Vouch()
	}
	tune(raw)
	n.m.accepted(cs.NegotiatedProtocol, cs.DidResume)
	switch cs.NegotiatedProtocol {
	case n.speaks.stream:
		if !p.add(&wire{tls: conn}) {
			n.m.refused("surplus")
			_ = raw.Close()
		}
	case n.speaks.control:
		// In a goroutine of its own: the runtime would not shrink this one's stack, which has grown in the handshake, to
		// what a session needs.
		if !n.background(func() { n.control(ctx, id.ID, p, conn) }) {
			_ = raw.Close()
		}
	}
}

// control keeps a control connection.
func (n *Node) control(ctx context.Context, id string, p *pool, conn *tls.Conn) {
	log := func() *slog.Logger { return n.log.With(string(n.speaks.kind), id) } // not kept: there may be thousands
	watch(conn, forgetAfter)
	s := newSession(conn, true, forgetAfter)
	s.flags = func() byte { return p.missed(s) }
	s.replied = func(seq uint32) { p.heardOf(s, seq) }
	s.changed = func() {
		log().Info("stream carrier changed", "up", s.usable.Load())
		n.watched(id)
		if !s.usable.Load() {
			n.away(id)
		}
	}
	s.heard = func(m message) {
		if m.kind == kindAsk {
			p.mu.Lock()
			p.tun = m.flags&flagTUN != 0
			p.mu.Unlock()
			if m.flags&flagStuck != 0 && n.stuck != nil {
				n.stuck(id)
			}
		}
	}
	p.begin(s)
	defer n.watched(id)
	defer p.end(s)
	s.doubts.Store(p.misses.Load()) // the one before has not told it
	if n.admit(id) != nil {         // withdrawn meanwhile: Apply did not see this session
		return
	}
	err := s.run(ctx)
	worked := s.usable.Swap(false)
	if errors.Is(err, errReplaced) || s.other.Load() { // the carrier is as it was
		log().Debug("stream carrier goes on by another control connection")
		return
	}
	log().Info("stream carrier changed", "up", false, "err", err)
	if worked { // the kernel has noticed before a heartbeat did
		n.away(id)
	}
}

// away tells that a peer does not answer any more.
func (n *Node) away(id string) {
	if n.silent != nil {
		n.silent(id)
	}
}

// watched tells whether the control connection of a peer works. An older one may end after a newer one has begun.
func (n *Node) watched(id string) {
	if n.watch != nil {
		n.watch(id, n.Up(id))
	}
}

// background runs f in a goroutine that Serve waits for; not when it is ending.
func (n *Node) background(f func()) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.ending {
		return false
	}
	n.work.Go(f)
	return true
}

// end lets streams end, then closes everything.
func (n *Node) end() {
	n.mu.Lock()
	n.ending = true
	n.mu.Unlock()
	for _, p := range n.all() {
		p.leave()
	}
	late := time.NewTimer(drainTime)
	defer late.Stop()
	tick := time.NewTicker(drainTime / 200)
	defer tick.Stop()
	for waiting := true; waiting; {
		if _, busy, _ := n.counts(); busy == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-late.C:
			waiting = false
		}
	}
	for _, p := range n.all() {
		p.shut()
	}
	n.work.Wait()
}
