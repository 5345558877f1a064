package streams

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/identity"
)

// Bounds of a Node.
const (
	handshakesMost = 1024 // in progress
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

	shaking *inbound.Handshakes

	mu     sync.RWMutex
	known  map[string]bool  // guarded by mu; replaced whole
	pools  map[string]*pool // guarded by mu; by peer, of those that may dial and those with streams left
	ending bool             // guarded by mu
	work   sync.WaitGroup   // added to under mu while not ending
}

var _ fabric.Carrier = (*Node)(nil)

// NewNode makes a Node that knows no peer.
func NewNode(o NodeOptions) *Node {
	n := &Node{speaks: dialectOf(o.From), silent: o.Silent, stuck: o.Stuck, watch: o.Watched, log: o.Log, shaking: inbound.NewHandshakes(handshakesMost), known: map[string]bool{}, pools: map[string]*pool{}}
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
