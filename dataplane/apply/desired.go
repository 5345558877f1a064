package apply

import (
	"fmt"
	"slices"
	"strings"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gate"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
)

// self is what the snapshot says of this node; false before there is any.
func (n *Node) self(l *ledger) (self, bool) {
	for _, s := range values[self](l, resource.NodeConfig) {
		if s.id == n.id {
			return s, true
		}
	}
	return self{}, false
}

// sessionConfig is what access tokens are verified with, and which of them are taken back.
func sessionConfig(l *ledger) (cfg session.Config) {
	for _, t := range values[trust](l, resource.Trust) {
		cfg.Keys = t.keys
	}
	cfg.Revoked = values[session.Revoked](l, resource.Revocation)
	return cfg
}

// gateConfig is where people sign in, and what decides about what they have open.
func gateConfig(l *ledger, routes map[string]route) gate.Config {
	cfg := gate.Config{Policies: map[string]*policy.Compiled{}}
	for _, t := range values[trust](l, resource.Trust) {
		cfg.SignIn = t.signIn
	}
	for _, r := range routes {
		if r.policy != "" {
			cfg.Policies[r.service] = decides(l, r.policy)
		}
	}
	return cfg
}

// gateKeys are those that the nodes of the pool share for session tickets: the gate derives its own from them.
func gateKeys(me self) [][32]byte {
	out := make([][32]byte, len(me.ticketKeys))
	for i, k := range me.ticketKeys {
		out[i] = k
	}
	return out
}

// tunnelConfig is a tunnel to every other node, and to the connectors of the sites assigned to this one.
func (n *Node) tunnelConfig(l *ledger, me self) tunnel.Config {
	cfg := tunnel.Config{Addr: me.addr}
	for _, o := range values[node](l, resource.Node) {
		if o.id == n.id || o.endpoint.IsZero() {
			continue
		}
		cfg.Peers = append(cfg.Peers, tunnel.Peer{ID: o.id, Kind: tunnel.Mesh, Key: o.key, Endpoint: o.endpoint, Addr: o.addr, Keepalive: keepalive})
	}
	for _, s := range values[site](l, resource.Site) {
		if !slices.Contains(s.nodes, n.id) {
			continue
		}
		for _, c := range s.connectors {
			cfg.Peers = append(cfg.Peers, tunnel.Peer{ID: c.id, Kind: tunnel.Connector, Key: c.key, Addr: c.addr})
		}
		if s.peer != nil {
			cfg.Peers = append(cfg.Peers, tunnel.Peer{ID: s.peer.id, Kind: tunnel.Stock, Key: s.peer.key, Addr: s.peer.addr})
		}
	}
	return cfg
}

// streamsConfig is the connectors that may dial this node: those of the sites assigned to it. Others are
// known, and end in peace what they have.
func (n *Node) streamsConfig(l *ledger) streams.NodeConfig {
	cfg := streams.NodeConfig{Peers: map[string]bool{}}
	for _, s := range values[site](l, resource.Site) {
		for _, c := range s.connectors {
			cfg.Peers[c.id] = slices.Contains(s.nodes, n.id)
		}
	}
	return cfg
}

// relayConfig is the other nodes: each may dial this one, to relay for it, and is dialled where it says, to be
// relayed for. A node that is revoked is not among them.
func (n *Node) relayConfig(l *ledger) (from streams.NodeConfig, to streams.ConnectorConfig) {
	from.Peers, to.Nodes = map[string]bool{}, map[string]endpoint.Endpoint{}
	for _, o := range values[node](l, resource.Node) {
		if o.id == n.id {
			continue
		}
		from.Peers[o.id] = true
		if !o.stream.IsZero() {
			to.Nodes[o.id] = o.stream
		}
	}
	return from, to
}

// localConfig is what this node may dial itself: the targets of the local sites in whose network it stands, and of
// the stock peers that may have a tunnel to it.
func (n *Node) localConfig(l *ledger) []connector.Config {
	var cfg []connector.Config
	for _, s := range values[site](l, resource.Site) {
		switch {
		case n.standsIn(s):
			cfg = append(cfg, connector.Config{Site: s.id, Targets: s.targets})
		case n.holds(s):
			cfg = append(cfg, connector.Config{Site: s.id, Targets: s.targets, Peer: s.peer.addr})
		}
	}
	return cfg
}

// localChecks is which of these targets are checked, and how.
func (n *Node) localChecks(l *ledger) []health.Target {
	var checks []health.Target
	for _, s := range values[site](l, resource.Site) {
		if n.standsIn(s) || n.holds(s) {
			checks = append(checks, s.checks...)
		}
	}
	return checks
}

func (n *Node) standsIn(s site) bool { return s.local && slices.Contains(s.nodes, n.id) }

// holds reports whether this node has the stock peer that a site is.
func (n *Node) holds(s site) bool { return s.peer != nil && slices.Contains(s.nodes, n.id) }

func (n *Node) fabricConfig(l *ledger) fabric.Config {
	cfg := fabric.Config{Self: n.id}
	if me, ok := n.self(l); ok {
		cfg.Region = me.region
	}
	for _, o := range values[node](l, resource.Node) {
		is, says := n.standing(o), n.view.Node(o.id)
		cfg.Nodes = append(cfg.Nodes, fabric.Node{ID: o.id, Addr: o.addr, Region: o.region, Down: is.away, Draining: is.draining, Connected: says.Sites, Load: says.Load})
	}
	for _, s := range values[site](l, resource.Site) {
		out := fabric.Site{ID: s.id, Nodes: s.nodes, Carrier: s.carrier, Region: s.region, Local: s.local || s.stock}
		for _, c := range s.connectors {
			out.Connectors = append(out.Connectors, fabric.Connector{ID: c.id, Addr: c.addr})
		}
		cfg.Sites = append(cfg.Sites, out)
	}
	return cfg
}

// routes chooses the routes to use, and says which can't be: one whose certificate is not here keeps the
// version that was in use, as long as the certificate of that is here. Further ones may be missing: the first is for everybody.
func (n *Node) routes(l *ledger) (use map[string]route, missing []*nodev1.Rejection) {
	use = map[string]route{}
	for name, it := range l.good[resource.Route] {
		r := it.value.(route)
		if n.served(l, r) {
			use[name] = r
			continue
		}
		missing = append(missing, &nodev1.Rejection{
			TypeUrl: resource.Route, Name: name, Version: it.raw.Version, Reason: fmt.Sprintf("certificate: %s is not here", r.certificate),
		})
		if old, ok := n.used[name]; ok && n.served(l, old) {
			use[name] = old
		}
	}
	return use, missing
}

func (n *Node) served(l *ledger, r route) bool {
	_, ok := l.good[resource.Certificate][r.certificate]
	return ok || r.mode == sni.Passthrough
}

func (n *Node) proxyConfig(l *ledger, routes map[string]route) httpproxy.Config {
	cfg := httpproxy.Config{Certificates: values[httpproxy.Certificate](l, resource.Certificate)}
	for _, r := range routes {
		if r.mode == sni.HTTP {
			cfg.Routes = append(cfg.Routes, httpproxy.Route{
				Service: r.service, Tenant: n.sub.Tenants.Of(r.org), Hostname: r.hostname, Certificate: r.certificate, Further: r.further, Rules: r.rules, Policy: r.policy, Decides: decides(l, r.policy),
				Upstreams: r.upstreams, Delivery: r.delivery, Maintenance: r.maintenance, Look: look(l, r.org),
			})
		}
	}
	slices.SortFunc(cfg.Routes, func(a, b httpproxy.Route) int { return strings.Compare(a.Hostname, b.Hostname) })
	return cfg
}

func (n *Node) sniConfig(l *ledger, routes map[string]route) sni.Config {
	var cfg sni.Config
	for _, r := range routes {
		out := sni.Route{Hostname: r.hostname, Mode: r.mode, Service: r.service, Tenant: n.sub.Tenants.Of(r.org)}
		if r.mode == sni.Passthrough {
			out.ProxyProtocol, out.Targets = r.proxy, r.targets()
			if r.policy != "" {
				out.Admit = n.sub.Access.Connection(decides(l, r.policy))
			}
		}
		cfg.Routes = append(cfg.Routes, out)
	}
	slices.SortFunc(cfg.Routes, func(a, b sni.Route) int { return strings.Compare(a.Hostname, b.Hostname) })
	return cfg
}

// targets are those of all rules of a route.
func (r route) targets() []balance.Target {
	var out []balance.Target
	for _, rule := range r.rules {
		out = append(out, rule.Targets...)
	}
	return out
}

// l4Config is the services that are carried as they are. A name whose certificate is for other names is told
// so by its handshakes, as it is for HTTP.
func (n *Node) l4Config(l *ledger, routes map[string]route) l4.Config {
	var cfg l4.Config
	for _, f := range values[forward](l, resource.Forward) {
		if f.policy != "" {
			f.Admit = n.sub.Access.Connection(decides(l, f.policy))
		}
		f.Tenant = n.sub.Tenants.Of(f.org)
		cfg.Forwards = append(cfg.Forwards, f.Forward)
	}
	for _, r := range routes {
		if r.mode != sni.TCP {
			continue
		}
		out := l4.Name{Service: r.service, Hostname: r.hostname, ProxyProtocol: r.proxy, Targets: r.targets()}
		for _, name := range append([]string{r.certificate}, r.further...) {
			if c, ok := l.good[resource.Certificate][name].value.(httpproxy.Certificate); ok && c.Covers(r.hostname) {
				out.Certificates = append(out.Certificates, &c.TLS)
			}
		}
		if r.policy != "" {
			p := decides(l, r.policy)
			out.Admit = n.sub.Access.Named(p)
			if p != nil {
				out.Clients = httpproxy.Clients(p)
			}
		}
		cfg.Names = append(cfg.Names, out)
	}
	slices.SortFunc(cfg.Names, func(a, b l4.Name) int { return strings.Compare(a.Hostname, b.Hostname) })
	return cfg
}

func (n *Node) dnsConfig(l *ledger) dns.Config {
	cfg := dns.Config{Serial: uint32(l.checkpoint.GetRevision())} // RFC 1982 arithmetic wraps like this
	if me, ok := n.self(l); ok {
		cfg.Region = me.region
	}
	for _, z := range values[zone](l, resource.Zone) {
		cfg.Zones = append(cfg.Zones, dns.Zone{ID: z.id, Apex: z.apex, Pool: z.pool, Issuers: z.issuers, CAA: z.caa})
	}
	for _, r := range values[recordSet](l, resource.RecordSet) {
		cfg.RecordSets = append(cfg.RecordSets, dns.RecordSet{Zone: r.zone, Owner: r.owner, TTL: r.ttl, Pool: r.pool})
	}
	for _, c := range values[asked](l, resource.Challenge) {
		if c.text != "" {
			cfg.Challenges = append(cfg.Challenges, dns.Challenge{ID: c.id, Name: c.Name, Text: c.text, Expires: c.Expires})
		}
	}
	for _, o := range values[node](l, resource.Node) {
		is := n.standing(o)
		cfg.Nodes = append(cfg.Nodes, dns.Node{ID: o.id, Name: o.name, Pool: o.pool, Addresses: o.addresses, Region: o.region, Draining: is.draining, Down: is.down})
	}
	return cfg
}

func cutName(name string) (kind, id string, ok bool) { return strings.Cut(name, "/") }
