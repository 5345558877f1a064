package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/health"
)

// thisNode is whom the streams of a Local come from.
const thisNode = "this node"

// Peers are stock WireGuard peers of a node, by the ids of their sites.
type Peers interface {
	Called(site string) bool // it has ever had a tunnel to this node
	Up(site string) bool
	DialStock(ctx context.Context, network, site string, to netip.AddrPort) (net.Conn, error)
}

// Local is the site's end of the sites whose targets a node dials itself: those in whose network it stands, and stock
// WireGuard peers. It is the fabric.Carrier to them: a stream begins as a connector serves what comes out of a tunnel,
// and goes on as the connection to the target. Safe for concurrent use.
type Local struct {
	by    *Connector // its table stays empty
	peers Peers      // nil: there are none
	sites atomic.Pointer[map[string]*table]
	taken chan local // without room: Run takes a stream at once, or Dial waits
}

// local is a stream that a Dial has opened.
type local struct {
	conn  siteEnd
	table *table
}

// NewLocal makes a Local that knows no site. Names of targets are resolved with r; nil is the system's way.
func NewLocal(r *net.Resolver, peers Peers, log *slog.Logger, reg prometheus.Registerer) *Local {
	l := &Local{by: New(r, log, reg), peers: peers, taken: make(chan local)}
	l.by.permit = permitOnNode(net.InterfaceAddrs)
	l.sites.Store(&map[string]*table{})
	return l
}

// String names the task.
func (l *Local) String() string { return "local sites" }

// Apply replaces the sites. Streams that exist stay. Targets that can't be served are reported as joined
// *TargetError, and all else applied.
func (l *Local) Apply(sites []Config) error {
	next, targets := make(map[string]*table, len(sites)), 0
	var errs []error
	for _, cfg := range sites {
		may := permitLiteral
		if cfg.Peer.IsValid() {
			may = permitOnly(cfg.Peer)
		}
		t, bad := newTable(cfg, may)
		t.served[thisNode] = true
		if cfg.Peer.IsValid() {
			t.dial = l.toPeer(cfg.Site)
		}
		next[cfg.Site] = t
		errs, targets = append(errs, bad...), targets+len(t.targets)
	}
	l.sites.Store(&next)
	l.by.m.targets.Set(float64(targets))
	return errors.Join(errs...)
}

// Up implements fabric.Carrier: the peers are sites.
func (l *Local) Up(site string) bool {
	t := (*l.sites.Load())[site]
	return t != nil && (t.dial == nil || l.peers != nil && l.peers.Up(site))
}

// toPeer dials inside the tunnel to a stock peer.
func (l *Local) toPeer(site string) dialer {
	return func(ctx context.Context, t target, address string) (net.Conn, error) {
		if l.peers == nil {
			return nil, errors.New("no tunnels")
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", address, err)
		}
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		start := time.Now()
		conn, err := l.peers.DialStock(ctx, t.network.String(), site, to)
		if err == nil {
			l.by.m.dialTime.Observe(time.Since(start).Seconds())
		}
		return conn, err
	}
}

// permitOnly is the permission of a stock peer's targets: what its tunnel leads to.
func permitOnly(peer netip.Addr) permission {
	return func(ip netip.Addr, _ bool) error {
		if ip != peer {
			return &DeniedError{ip, fmt.Sprintf("not the peer's, which is %s", peer)}
		}
		return nil
	}
}

// Dial implements fabric.Carrier. It waits for Run.
func (l *Local) Dial(ctx context.Context, site string, _ netip.AddrPort) (net.Conn, error) {
	t := (*l.sites.Load())[site]
	if t == nil {
		return nil, fmt.Errorf("site %s is not local", site)
	}
	near, far := newLocalStream()
	select {
	case l.taken <- local{far, t}:
		return near, nil
	case <-ctx.Done():
		_ = near.Close()
		_ = far.Close()
		return nil, context.Cause(ctx)
	}
}

// DialTarget connects to a target of any of the sites, for whoever wants to know whether it can serve. Of a stock peer
// that calls other nodes only, this one has nothing to say.
func (l *Local) DialTarget(ctx context.Context, id string) (net.Conn, error) {
	for site, t := range *l.sites.Load() {
		if _, ok := t.targets[id]; !ok {
			continue
		}
		switch {
		case t.dial == nil:
		case l.peers == nil || !l.peers.Called(site):
			return nil, health.ErrNoSay
		case !l.peers.Up(site):
			return nil, errors.New("the device's tunnel is down")
		}
		return l.by.check(ctx, t, id)
	}
	return nil, errors.New("not a target of a local site")
}

// Run serves streams until ctx ends; then it closes them.
func (l *Local) Run(ctx context.Context) error {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-l.taken:
			streams.Go(func() {
				defer s.conn.Close()
				stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
				defer stop()
				l.by.carry(ctx, s.conn, thisNode, s.table)
			})
		}
	}
}

// clouds are the addresses, beside the link-local ones, at which machines of a cloud are told their secrets.
var clouds = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true, // Amazon
	netip.MustParseAddr("fd20:ce::254"):    true, // Google
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle
}

// permitLiteral is what can be said of an address on any node, whenever: a connector's rules, and none but
// addresses of other machines. A node's own loopback has its admin listener and whatever else trusts the
// machine; whoever writes a target need not be who runs the node.
func permitLiteral(ip netip.Addr, loopback bool) error {
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback():
		return &DeniedError{ip, "loopback, which no target of a local site has"}
	case clouds[ip.WithZone("")]:
		return &DeniedError{ip, "where a cloud tells its machines secrets"}
	}
	return permit(ip, loopback)
}

// permitOnNode is the permission on a node that has these addresses: its own ones lead past its firewall to what
// listens on them all.
func permitOnNode(own func() ([]net.Addr, error)) permission {
	return func(ip netip.Addr, loopback bool) error {
		if err := permitLiteral(ip, loopback); err != nil {
			return err
		}
		addrs, err := own() // asked each time, as they change
		if err != nil {
			return fmt.Errorf("addresses of this node: %w", err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if mine, ok := netip.AddrFromSlice(n.IP); ok && mine.Unmap() == ip.Unmap().WithZone("") {
					return &DeniedError{ip.Unmap(), "the node's own"}
				}
			}
		}
		return nil
	}
}
