// Package apply makes a machine be what its snapshot says. It is the one package that knows every
// subsystem: each transaction becomes the whole desired state of those that it concerns.
package apply

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gate"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/wgkey"
)

// keepalive is WireGuard's own: it makes an end call as soon as it knows the other, and keeps the
// translation of addresses in front of a connector alive. Everything else is told by heartbeats.
const keepalive = 25 * time.Second

// Subsystems are what a node consists of. Apply of each takes its whole desired state.
type Subsystems struct {
	Tunnel interface {
		Apply(context.Context, tunnel.Config) error
	}
	Streams interface{ Apply(streams.NodeConfig) }      // from connectors
	Nodes   interface{ Apply(streams.NodeConfig) }      // from other nodes, which relay for this one
	Relay   interface{ Apply(streams.ConnectorConfig) } // to other nodes, for which this one relays
	Local   interface {
		Apply([]connector.Config) error // the sites whose targets this node dials itself
	}
	Checks interface{ Apply([]health.Target) } // of targets in these sites
	Fabric interface {
		Apply(fabric.Config)
		Cut(node string) // ends the streams through a node that is dead
	}
	Proxy interface {
		Apply(httpproxy.Config)
		Reconnect(peers ...string) // these are gone, that kept connections may lead through
		SetTicketKeys([]terminate.TicketKey)
		Leave(bool) // whether clients shall connect anew, elsewhere
	}
	L4 interface {
		Apply(l4.Config) error
		SetTicketKeys([]terminate.TicketKey)
	}
	SNI    interface{ Apply(sni.Config) }
	Access interface { // who may reach what has a policy
		Connection(*policy.Compiled) func(client netip.Addr) bool
		Named(*policy.Compiled) func(client netip.Addr, shown []*x509.Certificate) bool
		SetNodes(int) // that divide the limits of attempts
	}
	Tenants interface { // organizations, by what they may take of this node
		Apply(map[string]inbound.Quota)
		Of(org string) *inbound.Tenant
	}
	Sessions interface{ Apply(session.Config) } // who has signed in; nil: nobody asks
	Gate     interface {                        // where people show who they are; nil: nowhere
		Apply(gate.Config)
		SetKeys(shared [][32]byte)
	}
	DNS    interface{ Apply(dns.Config) error }
	Asked  interface{ Apply(challenge.Config) } // what certificate authorities are answered on the other ports
	Health Health                               // nil: nobody asks
	Trust  func(pem []byte) error               // keeps new authorities for later connections

	Gossip  Gossip                 // nil: this node has no gossip
	Up      func(peer string) bool // reports whether a connector, or the stock peer of a site, is connected here; needed with Gossip
	Changes func() uint64          // how often what Up reports has changed so far; nil: nobody counts
	Load    func() int             // what this node carries, in thousandths of what it can; needed with Gossip
}

// Health takes which targets can't serve, and which there are: all of them, by id. The maps are the callee's.
type Health interface {
	Apply(unhealthy map[string]bool)
	Keep(targets map[string]bool)
}

// Node applies the snapshot of a node. It is an ads.Handler, whose methods are called one at a time; Follow
// runs beside it.
type Node struct {
	id    string
	sub   Subsystems
	log   *slog.Logger
	ready atomic.Bool
	*saver

	mu        sync.Mutex       // held while subsystems are told what to be, never while the disk is written
	state     *ledger          // guarded by mu, and replaced by the handler alone, as all of the following
	view      gossip.View      // what nodes say of each other
	connected []string         // of tellSites alone, used again
	down      map[string]bool  // presence of other nodes
	sick      sick             // presence of targets
	used      map[string]route // routes in use, by resource name
	peers     []tunnel.Peer    // that the tunnel was last told of
	noWay     error            // peers among them, and targets of local sites, that can't be reached
	leaving   bool             // the process is about to end
	retreat   retreat
	load      load   // of Follow alone
	looked    looked // of Follow alone
	ports     error  // services among those that l4 was told of that can't have theirs
}

// NewNode makes a Node with this id that has applied nothing.
func NewNode(id string, sub Subsystems, disk *Disk, log *slog.Logger, reg prometheus.Registerer) *Node {
	return &Node{
		id: id, sub: sub, log: log, saver: newSaver(disk, log, reg), state: newLedger(), down: map[string]bool{}, used: map[string]route{},
		retreat: retreat{over: make(chan struct{})},
	}
}

// Ready reports whether a checkpoint is applied.
func (n *Node) Ready() bool { return n.ready.Load() }

// Restore applies what is on disk, so that the node serves before it has talked to anybody, and returns
// what the stream starts from. Nothing on disk is no error.
func (n *Node) Restore(ctx context.Context) (ads.State, error) {
	l, err := n.disk.load(decode)
	if err != nil || l == nil {
		return ads.State{}, err
	}
	if _, err := n.install(ctx, l, everyType()); err != nil {
		return ads.State{}, err
	}
	n.log.Info("serving from disk", "rev", l.checkpoint.GetRevision())
	return l.state(), nil
}

func everyType() map[string]bool {
	all := map[string]bool{}
	for _, t := range append(resource.NodeTypes(), resource.ConnectorTypes()...) {
		all[t] = true
	}
	return all
}

// Transaction implements ads.Handler. What can't be applied is rejected by name, with all that was
// rejected before and still is.
func (n *Node) Transaction(ctx context.Context, t ads.Transaction) ([]*nodev1.Rejection, error) {
	before := n.state
	next, changed := before.stage(t, decode)
	rejections, err := n.install(ctx, next, changed)
	if err != nil {
		return nil, err
	}
	n.order(before, next)
	n.save(next)
	return rejections, nil
}

// install makes the subsystems be as a ledger says: what others rely on comes first.
func (n *Node) install(ctx context.Context, l *ledger, changed map[string]bool) ([]*nodev1.Rejection, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	routes, missing := n.routes(l)
	if changed[resource.Trust] && n.sub.Trust != nil {
		for _, t := range values[trust](l, resource.Trust) {
			if err := n.sub.Trust(t.pem); err != nil {
				n.log.Warn("new authorities not kept", "err", err)
			}
		}
	}
	if n.sub.Sessions != nil && (changed[resource.Trust] || changed[resource.Revocation]) {
		n.sub.Sessions.Apply(sessionConfig(l))
	}
	me, ok := n.self(l)
	if ok && (changed[resource.NodeConfig] || changed[resource.Node] || changed[resource.Site]) {
		want := n.tunnelConfig(l, me)
		if err := n.sub.Tunnel.Apply(ctx, want); err != nil {
			if !partial[*tunnel.PeerError](err) {
				return nil, fmt.Errorf("tunnel: %w", err)
			}
			n.log.Warn("some tunnels can't be made", "err", err)
			n.noWay = err
		} else {
			n.noWay = nil
		}
		if err := n.sub.Local.Apply(n.localConfig(l)); err != nil {
			n.log.Warn("some targets of local sites can't be served", "err", err)
			n.noWay = errors.Join(n.noWay, err)
		}
		n.sub.Checks.Apply(n.localChecks(l)) // by way of the local sites, which have to allow their targets first
		n.applyGossip(l, me)
		n.sub.Streams.Apply(n.streamsConfig(l))
		n.sub.Fabric.Apply(n.fabricConfig(l))
		from, to := n.relayConfig(l) // what is opened is judged by the fabric
		n.sub.Nodes.Apply(from)
		n.sub.Relay.Apply(to)
		if gone := lost(n.peers, want.Peers); len(gone) > 0 {
			n.sub.Proxy.Reconnect(gone...)
		}
		n.peers = want.Peers
	}
	if ok && changed[resource.NodeConfig] {
		n.sub.Proxy.SetTicketKeys(me.ticketKeys)
		n.sub.L4.SetTicketKeys(me.ticketKeys)
		if n.sub.Gate != nil {
			n.sub.Gate.SetKeys(gateKeys(me))
		}
	}
	if ok && (changed[resource.NodeConfig] || changed[resource.Node]) {
		n.sub.Access.SetNodes(poolSize(l, me))
	}
	if changed[resource.Route] || changed[resource.Forward] || changed[resource.Quota] {
		n.sub.Tenants.Apply(tenants(l, routes))
	}
	names := changed[resource.Certificate] || changed[resource.Route] || changed[resource.Policy] || changed[resource.Brand]
	if names || changed[resource.Forward] || n.ports != nil { // a port that was taken may be free now
		n.ports = n.sub.L4.Apply(n.l4Config(l, routes))
		if n.ports != nil {
			n.log.Warn("some ports can't be served", "err", n.ports)
		}
	}
	if names {
		n.sub.Proxy.Apply(n.proxyConfig(l, routes))
		n.sub.SNI.Apply(n.sniConfig(l, routes))
		n.used = routes
	}
	if n.sub.Gate != nil && (names || changed[resource.Trust] || changed[resource.Revocation]) {
		n.sub.Gate.Apply(gateConfig(l, routes))
	}
	if names || changed[resource.Challenge] {
		n.sub.Asked.Apply(challengeConfig(l, routes))
	}
	if changed[resource.Route] || changed[resource.Forward] {
		n.tellSick(n.sick.check(checkedTargets(l)))
		if n.sub.Health != nil {
			n.sub.Health.Keep(allTargets(l, routes))
		}
	}
	// The serial of the zones is the revision, so this one is always concerned.
	n.state = l
	unnamed := n.applyDNS()
	n.ready.Store(true)
	missing = append(missing, unguarded(l, routes)...)
	return l.rejections(append(missing, l.refused(errors.Join(n.noWay, unnamed, n.ports))...)...), nil
}

// lost gives the peers of before that are gone now, or are others by their key or address.
func lost(before, now []tunnel.Peer) (ids []string) {
	type end struct {
		id   string
		key  wgkey.Public
		addr netip.Addr
	}
	still := make(map[end]bool, len(now))
	for _, p := range now {
		still[end{p.ID, p.Key, p.Addr}] = true
	}
	for _, p := range before {
		if !still[end{p.ID, p.Key, p.Addr}] {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// partial reports whether an error is only about single objects, the rest being applied.
func partial[E error](err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if !partial[E](e) {
				return false
			}
		}
		return true
	}
	_, ok := errors.AsType[E](err)
	return ok
}

// applyDNS returns what the DNS says of objects that it has left out.
func (n *Node) applyDNS() error {
	err := n.sub.DNS.Apply(n.dnsConfig(n.state))
	if err != nil {
		n.log.Warn("some names can't be answered", "err", err)
	}
	return err
}

func joinHostPort(host string, port uint32) string {
	return net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
}
