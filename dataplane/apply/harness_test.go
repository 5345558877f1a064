package apply

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
)

// machine records what each subsystem was told, in order.
type machine struct {
	calls   []string
	asked   challenge.Config
	tunnel  tunnel.Config
	local   []connector.Config
	fabric  fabric.Config
	proxy   httpproxy.Config
	leaving bool // of the proxy
	l4      l4.Config
	sni     sni.Config
	dns     dns.Config
	conn    connector.Config
	ends    streams.NodeConfig      // of a node, from connectors
	nodes   streams.NodeConfig      // of a node, from nodes
	dials   streams.ConnectorConfig // of a connector, or of a node for its relaying
	checks  []health.Target         // of a connector, or of the local sites of a node
	kept    []map[string]bool       // of a node: each set of targets that health was told to keep
	sick    []map[string]bool       // each that was handed over
	trust   []byte
	fail    error                    // of the tunnel
	taken   error                    // of l4, about single services
	unfit   error                    // of the DNS or the connector, about single objects
	out     error                    // of local sites, about single targets
	tickets [2][]terminate.TicketKey // of HTTP, of TCP
	sharing int                      // nodes that divide the limits of attempts
}

type (
	tunnelOf    struct{ *machine }
	fabricOf    struct{ *machine }
	proxyOf     struct{ *machine }
	l4Of        struct{ *machine }
	sniOf       struct{ *machine }
	dnsOf       struct{ *machine }
	askedOf     struct{ *machine }
	connectorOf struct{ *machine }

	relayedOf     struct{ *machine }
	nodeStreamsOf struct{ *machine }
	siteStreamsOf struct{ *machine }
	checksOf      struct{ *machine }
	localOf       struct{ *machine }
	healthOf      struct{ *machine }
	localChecksOf struct{ *machine }
	accessOf      struct{ *machine }
)

func (m tunnelOf) Apply(_ context.Context, c tunnel.Config) error {
	m.calls = append(m.calls, "tunnel")
	if m.fail != nil && !partial[*tunnel.PeerError](m.fail) {
		return m.fail
	}
	m.tunnel = c
	return m.fail
}
func (m fabricOf) Cut(string)              { m.calls = append(m.calls, "cut") }
func (m fabricOf) Apply(c fabric.Config)   { m.calls, m.machine.fabric = append(m.calls, "fabric"), c }
func (m proxyOf) Apply(c httpproxy.Config) { m.calls, m.proxy = append(m.calls, "proxy"), c }
func (m proxyOf) Reconnect(peers ...string) {
	m.calls = append(m.calls, "reconnect "+strings.Join(peers, " "))
}
func (m proxyOf) Leave(yes bool)                        { m.leaving = yes }
func (m proxyOf) SetTicketKeys(k []terminate.TicketKey) { m.tickets[0] = k }
func (m l4Of) SetTicketKeys(k []terminate.TicketKey)    { m.tickets[1] = k }
func (m l4Of) Apply(c l4.Config) error {
	m.calls, m.machine.l4 = append(m.calls, "l4"), c
	return m.taken
}
func (m sniOf) Apply(c sni.Config)         { m.calls, m.machine.sni = append(m.calls, "sni"), c }
func (m askedOf) Apply(c challenge.Config) { m.asked = c }
func (m dnsOf) Apply(c dns.Config) error {
	m.calls, m.machine.dns = append(m.calls, "dns"), c
	return m.unfit
}

func (m connectorOf) Apply(c connector.Config) error {
	m.calls, m.conn = append(m.calls, "connector"), c
	return m.unfit
}

func (m nodeStreamsOf) Apply(c streams.NodeConfig)      { m.ends = c }
func (m relayedOf) Apply(c streams.NodeConfig)          { m.machine.nodes = c }
func (m siteStreamsOf) Apply(c streams.ConnectorConfig) { m.dials = c }
func (m localOf) Apply(c []connector.Config) error {
	m.machine.local = c
	return m.out
}
func (m checksOf) Apply(targets []health.Target) {
	m.calls, m.checks = append(m.calls, "checks"), targets
}
func (m localChecksOf) Apply(targets []health.Target) { m.checks = targets }

func (m healthOf) Keep(targets map[string]bool)    { m.kept = append(m.kept, targets) }
func (m healthOf) Apply(unhealthy map[string]bool) { m.sick = append(m.sick, unhealthy) }

// It lets in who comes from where the policy's name says, or by its certificate.
func (m accessOf) Connection(p *policy.Compiled) func(netip.Addr) bool {
	return func(client netip.Addr) bool { return p != nil && p.Name() == client.String() }
}
func (m accessOf) Named(p *policy.Compiled) func(netip.Addr, []*x509.Certificate) bool {
	return func(client netip.Addr, shown []*x509.Certificate) bool { return p != nil && len(shown) > 0 }
}
func (m accessOf) SetNodes(n int) { m.sharing = n }

func (m *machine) keep(pem []byte) error { m.trust = pem; return nil }

// took returns and forgets the calls.
func (m *machine) took() []string {
	c := m.calls
	m.calls = nil
	return c
}

const me = "node_me"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newNode(t *testing.T, dir string) (*Node, *machine) {
	t.Helper()
	m := &machine{}
	disk, err := OpenDisk(dir, me, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return NewNode(me, Subsystems{
		Tunnel: tunnelOf{m}, Streams: nodeStreamsOf{m}, Nodes: relayedOf{m}, Relay: siteStreamsOf{m}, Local: localOf{m}, Checks: localChecksOf{m}, Fabric: fabricOf{m}, Proxy: proxyOf{m}, L4: l4Of{m}, SNI: sniOf{m}, Tenants: inbound.NewTenants(inbound.NewLimiter(10, 10)), Access: accessOf{m}, DNS: dnsOf{m}, Asked: askedOf{m}, Health: healthOf{m}, Trust: m.keep,
	}, disk, quiet(), prometheus.NewRegistry()), m
}

// res makes a resource of a message; its version is that of its content.
func res(t testing.TB, name string, m proto.Message) ads.Resource {
	t.Helper()
	typ := "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return ads.Resource{TypeURL: typ, Name: name, Version: resource.Version(typ, 1, b), Body: b}
}

// tx makes a transaction of resources.
func tx(rev uint64, rs ...ads.Resource) ads.Transaction {
	t := ads.Transaction{Checkpoint: &nodev1.Checkpoint{Revision: rev}, Upserts: map[string][]ads.Resource{}, Removed: map[string][]string{}}
	for _, r := range rs {
		t.Upserts[r.TypeURL] = append(t.Upserts[r.TypeURL], r)
	}
	return t
}

var key32 = slices.Repeat([]byte{7}, 32)

func keyOf(i byte) []byte { return slices.Repeat([]byte{i}, 32) }

func nodeConfigMsg() *nodev1.NodeConfig {
	return &nodev1.NodeConfig{NodeId: me, Name: "me", PoolId: "pool_1", OverlayAddress: "fd57:6172:7265:1::1"}
}

func nodeMsg(id, name string, i byte) *nodev1.Node {
	return &nodev1.Node{
		Id: id, Name: name, PoolId: "pool_1", Addresses: []string{fmt.Sprintf("198.51.100.%d", i)}, WireguardPublicKey: keyOf(i),
		WireguardEndpoint: fmt.Sprintf("198.51.100.%d:51820", i), OverlayAddress: fmt.Sprintf("fd57:6172:7265:1::%d", i), Lifecycle: nodev1.NodeLifecycle_NODE_LIFECYCLE_ACTIVE,
	}
}

func siteMsg(id string, i byte, nodes ...string) *nodev1.Site {
	return &nodev1.Site{Id: id, Name: "home", NodeIds: nodes, Connectors: []*nodev1.SiteConnector{{
		Id: "connector_" + id, WireguardPublicKey: keyOf(i), OverlayAddress: fmt.Sprintf("fd57:6172:7265:2::%d", i),
	}}}
}

// localSiteMsg is a site in whose network this node stands.
func localSiteMsg() *nodev1.Site {
	return &nodev1.Site{
		Id: "site_3", Name: "shed", Kind: nodev1.SiteKind_SITE_KIND_LOCAL, NodeIds: []string{me, "node_b"},
		Targets: []*nodev1.ConnectorTarget{{Id: "target_3", Address: "10.1.0.1", Port: 80, Ports: 2}},
	}
}

func routeMsg(service, host, cert string) *nodev1.Route {
	r := &nodev1.Route{
		ServiceId: service, Hostname: host, Mode: nodev1.RouteMode_ROUTE_MODE_TERMINATE, Certificate: cert,
		Rules: []*nodev1.RouteRule{{PathPrefix: "/", Targets: []*nodev1.RouteTarget{{TargetId: "target_1", SiteId: "site_1", Weight: 100}}}},
	}
	if cert == "" {
		r.Mode = nodev1.RouteMode_ROUTE_MODE_PASSTHROUGH
	}
	return r
}

func forwardMsg() *nodev1.Forward {
	return &nodev1.Forward{
		ServiceId: "service_3", ServiceName: "ssh", Protocol: nodev1.TargetProtocol_TARGET_PROTOCOL_TCP, FirstPort: 6000, LastPort: 6009, ProxyProtocol: 2,
		AllowedCidrs: []string{"10.0.0.0/8", "2001:db8::/32"}, Targets: []*nodev1.RouteTarget{{TargetId: "target_1", SiteId: "site_1", Weight: 100}},
	}
}

func zoneMsg() *nodev1.Zone {
	return &nodev1.Zone{Id: "domain_1", Apex: "example.org", PoolId: "pool_1"}
}

func recordMsg(owner string) *nodev1.RecordSet {
	return &nodev1.RecordSet{ZoneId: "domain_1", Owner: owner, TtlSeconds: 30, Answer: &nodev1.RecordSet_PoolAddresses{PoolAddresses: &nodev1.PoolAddresses{PoolId: "pool_1"}}}
}

func certMsg(t testing.TB, names ...string) *nodev1.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &nodev1.Certificate{
		Names: names, ChainPem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), PrivateKeyPem: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}),
	}
}

// world is one of everything.
func world(t testing.TB) ads.Transaction {
	return tx(5,
		res(t, "nodeconfig/"+me, nodeConfigMsg()), res(t, "node/"+me, nodeMsg(me, "me", 1)), res(t, "node/node_b", nodeMsg("node_b", "b", 2)),
		res(t, "site/o/site_1", siteMsg("site_1", 3, me, "node_b")), res(t, "site/o/site_2", siteMsg("site_2", 4, "node_b")),
		res(t, "certificate/o/cert_1", certMsg(t, "app.example.org")),
		res(t, "route/o/service_1", routeMsg("service_1", "app.example.org", "certificate/o/cert_1")),
		res(t, "route/o/service_2", routeMsg("service_2", "own.example.org", "")),
		res(t, "zone/o/domain_1", zoneMsg()), res(t, "recordset/o/service_1", recordMsg("app.example.org")))
}

func must(t *testing.T, n ads.Handler, x ads.Transaction) []*nodev1.Rejection {
	t.Helper()
	rej, err := n.Transaction(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return rej
}

func nodeHealth(t *testing.T, id string, s nodev1.NodeState) ads.Resource {
	return res(t, "nodehealth/"+id, &nodev1.NodeHealth{NodeId: id, State: s})
}

var errBroken = errors.New("broken")

func hosts(c httpproxy.Config) []string {
	var out []string
	for _, r := range c.Routes {
		out = append(out, r.Hostname)
	}
	return out
}

func received(s ads.State) map[string]int {
	out := map[string]int{}
	for typ, names := range maps.All(s.Received) {
		if len(names) > 0 {
			out[resource.ShortType(typ)] = len(names)
		}
	}
	return out
}

var addrs = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})
