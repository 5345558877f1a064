package streams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/identity"
)

// Bounds of a Node.
const (
	handshakesMost = 1024 // in progress; more wait to be accepted
	sweepEvery     = 5 * time.Second
	drainTime      = 10 * time.Second // for streams in progress after Serve's context has ended
)

// NodeConfig is all that a Node knows.
type NodeConfig struct {
	// Peers says of everybody in the cluster who may dial whether that is so now: of a connector, whether its site is
	// assigned to this node. Those who may not get no new streams; those who are not named lose the ones they have.
	Peers map[string]bool
}

// NodeOptions are what NewNode needs.
type NodeOptions struct {
	Credentials identity.Credentials
	From        identity.Kind // who dials: connectors, or other nodes
	// Silent is called when a peer no longer answers, or its control connection has ended: whoever keeps streams to it
	// for later should leave them, for they need not have ended. It must not wait. May be nil.
	Silent func(peer string)
	// Stuck is called when a connector says that its WireGuard handshakes with us go unanswered, again and again while
	// they do. It must not wait. May be nil.
	Stuck func(connector string)
	// Watched is called when the path of a peer's control connection works, or does not any more. It must not wait. May
	// be nil.
	Watched    func(peer string, works bool)
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Node is the end of stream connections at a node that opens streams: its peers, connectors or other nodes, have
// dialled it. It is a fabric.Carrier. Safe for concurrent use.
type Node struct {
	speaks dialect
	tls    *tls.Config
	silent func(peer string)
	stuck  func(connector string)
	watch  func(peer string, works bool)
	log    *slog.Logger
	m      *nodeMetrics

	mu     sync.RWMutex
	known  map[string]bool  // guarded by mu; replaced whole
	pools  map[string]*pool // guarded by mu; by peer, of those that may dial and those with streams left
	ending bool             // guarded by mu
	work   sync.WaitGroup   // added to under mu while not ending
}

var _ fabric.Carrier = (*Node)(nil)

// NewNode makes a Node that knows no peer.
func NewNode(o NodeOptions) *Node {
	n := &Node{speaks: dialectOf(o.From), silent: o.Silent, stuck: o.Stuck, watch: o.Watched, log: o.Log, known: map[string]bool{}, pools: map[string]*pool{}}
	n.tls = serverTLS(o.Credentials, n.speaks, n.admit)
	n.m = newNodeMetrics(o.Registerer, n.counts)
	return n
}

// Apply replaces the configuration.
func (n *Node) Apply(cfg NodeConfig) {
	var left, gone []*pool
	n.mu.Lock()
	n.known = maps.Clone(cfg.Peers)
	for id, p := range n.pools {
		switch may, known := n.known[id]; {
		case !known:
			gone = append(gone, p)
			delete(n.pools, id)
		case !may:
			left = append(left, p)
		}
	}
	n.mu.Unlock()
	for _, p := range left {
		p.leave()
	}
	for _, p := range gone {
		p.shut()
	}
}

// admit says whether a peer may connect.
func (n *Node) admit(peer string) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.known[peer] {
		return fmt.Errorf("%s %s may not dial this node", n.speaks.kind, peer)
	}
	return nil
}

// pool gives the pool of a peer; nil if there is none. With make it is made for one that may connect.
func (n *Node) pool(peer string, make bool) *pool {
	n.mu.RLock()
	p := n.pools[peer]
	n.mu.RUnlock()
	if p != nil || !make {
		return p
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p = n.pools[peer]; p == nil && n.known[peer] && !n.ending {
		p = newPool(n)
		n.pools[peer] = p
	}
	return p
}

// Dial implements fabric.Carrier: a stream to a peer. The address says nothing more.
func (n *Node) Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error) {
	if addr.Port() != n.speaks.port {
		return nil, fmt.Errorf("streams: port %d is not that of a %s", addr.Port(), n.speaks.kind)
	}
	p := n.pool(peer, false)
	if p == nil {
		return nil, fmt.Errorf("streams: %s %s: %w", n.speaks.kind, peer, errDown)
	}
	w, err := p.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("streams: %s %s: %w", n.speaks.kind, peer, err)
	}
	return &stream{wire: w, prepared: true, owner: p}, nil
}

// Up implements fabric.Carrier: the control connection answers.
func (n *Node) Up(peer string) bool {
	p := n.pool(peer, false)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session != nil && p.session.usable.Load()
}

// Quality gives what heartbeats say of the path to a peer; the zero value when there is none.
func (n *Node) Quality(peer string) liveness.Quality {
	if p := n.pool(peer, false); p != nil {
		p.mu.Lock()
		s := p.session
		p.mu.Unlock()
		if s != nil {
			return s.quality()
		}
	}
	return liveness.Quality{}
}

// TUN reports whether a connector has said that its tunnel is an interface of its system.
func (n *Node) TUN(peer string) bool {
	p := n.pool(peer, false)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tun
}

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

	slots := make(chan struct{}, handshakesMost)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
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
		if !n.background(func() { n.serve(ctx, conn, sync.OnceFunc(func() { <-slots })) }) {
			_ = conn.Close()
		}
	}
}

// serve makes a connection part of a pool. For a control connection it returns when that ends.
func (n *Node) serve(ctx context.Context, raw net.Conn, shaken func()) {
	defer shaken()
	conn := tls.Server(raw, n.tls)
	if err := handshake(ctx, conn); err != nil {
		_ = raw.Close()
		n.m.refused("handshake")
		n.log.Debug("stream connection refused", "peer", raw.RemoteAddr(), "err", err)
		return
	}
	shaken()
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
		n.control(ctx, id.ID, p, conn)
	}
}

// control keeps a control connection.
func (n *Node) control(ctx context.Context, id string, p *pool, conn *tls.Conn) {
	log := n.log.With(string(n.speaks.kind), id)
	watch(conn, forgetAfter)
	s := newSession(conn, true, forgetAfter)
	s.flags = s.missed
	s.changed = func() {
		log.Info("stream carrier changed", "up", s.usable.Load())
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
	if n.admit(id) != nil { // withdrawn meanwhile: Apply did not see this session
		return
	}
	err := s.run(ctx)
	worked := s.usable.Swap(false)
	if errors.Is(err, errReplaced) || s.other.Load() { // the carrier is as it was
		log.Debug("stream carrier goes on by another control connection")
		return
	}
	log.Info("stream carrier changed", "up", false, "err", err)
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

// sweep keeps the pools as large as they are needed.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range n.all() {
			p.sweep()
		}
	}
}

func (n *Node) all() []*pool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	out := make([]*pool, 0, len(n.pools))
	for _, p := range n.pools {
		out = append(out, p)
	}
	return out
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

// counts gives the numbers of idle and busy stream connections, and of peers that are up.
func (n *Node) counts() (idle, busy, up int) {
	for _, p := range n.all() {
		i, b, u := p.counts()
		idle, busy = idle+i, busy+b
		if u {
			up++
		}
	}
	return idle, busy, up
}
