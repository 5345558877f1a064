package model

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// field is what an error is about: "" for none, "?" for an error that is no fault of the request.
func field(err error) string {
	if err == nil {
		return ""
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Invalid || f.Field == "" {
		return "?"
	}
	return f.Field
}

type validator interface{ Validate() error }

// mutate copies a row and changes it.
func mutate[V any](v V, change func(*V)) *V {
	change(&v)
	return &v
}

func TestValidate(t *testing.T) {
	var (
		org, pool     = OrgID{}.New(), PoolID{}.New()
		site, service = SiteID{}.New(), ServiceID{}.New()
		now           = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		hash          = make([]byte, 32)
		addr          = netip.MustParseAddr
	)
	n := Node{Name: "n1", Pool: pool, Lifecycle: Active, Capacity: 100, Addresses: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}, WireGuardEndpoint: endpoint.At(netip.MustParseAddrPort("192.0.2.1:51820"))}
	st := Site{Org: org, Name: "home", Pool: pool, Tunnels: 2, Kind: ConnectorSite, Carrier: AutoCarrier}
	local := st
	local.Kind, local.Nodes = LocalSite, []NodeID{NodeID{}.New()}
	cn := Connector{Org: org, Site: site, Name: "c1"}
	sv := Service{Org: org, Name: "web", Kind: HTTP, Hostname: "*.example.org", Pool: pool}
	nets := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	raw := Service{Org: org, Name: "db", Kind: TCP, Pool: pool, Ports: Ports{5432, 5432}, Allow: nets("10.0.0.0/8", "2001:db8::/32"), ProxyProtocol: 2}
	tg := Target{Org: org, Name: "t1", Service: service, Site: site, Address: "10.0.0.1", Port: 80, PathPrefix: "/", Weight: 1}
	dm := Domain{Org: org, Name: "example.org", Pool: pool}
	ct := Certificate{Org: org, Names: []string{"*.example.org", "example.org"}, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: now, NotAfter: now.Add(time.Hour)}
	jt := JoinToken{Node: NodeID{}.New(), Name: "n1", Hash: hash}
	for _, c := range []struct {
		row  validator
		want string // field; "" is valid
	}{
		{&Organization{Name: "acme"}, ""},
		{&Organization{Name: "a"}, ""},
		{&Organization{Name: strings.Repeat("a", 63)}, ""},
		{&Organization{Name: strings.Repeat("a", 64)}, "name"},
		{&Organization{}, "name"},
		{&Organization{Name: "-a"}, "name"},
		{&Organization{Name: "a-"}, "name"},
		{&Organization{Name: "A"}, "name"},
		{&Organization{Name: "a_b"}, "name"},
		{&Organization{Name: "a\n"}, "name"},
		{&Region{Name: "eu.west"}, "name"},
		{&Region{Name: "eu-west-1"}, ""},
		{&Pool{Name: "édge"}, "name"},
		{&Pool{Name: "edge"}, ""},

		{&n, ""},
		{mutate(n, func(n *Node) { n.Addresses = nil; n.WireGuardEndpoint = endpoint.Endpoint{} }), ""}, // not joined yet
		{mutate(n, func(n *Node) { n.Name = strings.Repeat("a", 61) }), "name"},
		{mutate(n, func(n *Node) { n.Pool = PoolID{} }), "pool"},
		{mutate(n, func(n *Node) { n.Lifecycle = "" }), "lifecycle"},
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{addr("127.0.0.1")} }), ""}, // a cluster on one machine
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{addr("192.0.2.1"), addr("192.0.2.1")} }), "addresses[1]"},
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{{}} }), "addresses[0]"},
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{addr("0.0.0.0")} }), "addresses[0]"},
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{addr("fe80::1%eth0")} }), "addresses[0]"},
		{mutate(n, func(n *Node) { n.Addresses = []netip.Addr{addr("::ffff:192.0.2.1")} }), "addresses[0]"},
		{mutate(n, func(n *Node) { n.Addresses = make([]netip.Addr, 17) }), "addresses"},
		{mutate(n, func(n *Node) { n.WireGuardEndpoint = endpoint.At(netip.MustParseAddrPort("192.0.2.1:0")) }), "wireguard_endpoint"},
		{mutate(n, func(n *Node) { n.StreamEndpoint = endpoint.At(netip.MustParseAddrPort("192.0.2.1:8443")) }), ""},
		{mutate(n, func(n *Node) { n.StreamEndpoint = endpoint.At(netip.MustParseAddrPort("192.0.2.1:0")) }), "stream_endpoint"},
		{mutate(n, func(n *Node) { n.StreamEndpoint = endpoint.At(netip.MustParseAddrPort("0.0.0.0:443")) }), "stream_endpoint"},
		{mutate(n, func(n *Node) { n.StreamEndpoint = endpoint.MustParse("edge.example.org:443") }), ""},
		{mutate(n, func(n *Node) { n.StreamEndpoint = endpoint.Endpoint{Host: "edge.example.org"} }), "stream_endpoint"},
		{mutate(n, func(n *Node) {
			n.WireGuardEndpoint = endpoint.Endpoint{Host: "Edge.example.org", Addr: netip.MustParseAddrPort("192.0.2.1:1")}
		}), "wireguard_endpoint"},
		{mutate(n, func(n *Node) { n.GossipEndpoint = endpoint.At(netip.MustParseAddrPort("[fd57:6172:7265::1]:7946")) }), "gossip_endpoint"},
		{mutate(n, func(n *Node) { n.Capacity = 1000 }), ""},
		{mutate(n, func(n *Node) { n.Capacity = 0 }), "capacity"},
		{mutate(n, func(n *Node) { n.Capacity = 1001 }), "capacity"},
		{mutate(n, func(n *Node) { n.WireGuardEndpoint = endpoint.At(netip.MustParseAddrPort("224.0.0.1:51820")) }), "wireguard_endpoint"},

		{&st, ""},
		{&local, ""},
		{mutate(st, func(s *Site) { s.Kind = "" }), "kind"},
		{mutate(st, func(s *Site) { s.Kind = LocalSite }), "nodes"},
		{mutate(st, func(s *Site) { s.Nodes = local.Nodes }), "nodes"},
		{mutate(st, func(s *Site) { s.Carrier = StreamCarrier }), ""},
		{mutate(st, func(s *Site) { s.Carrier = "pigeon" }), "carrier"},
		{mutate(local, func(s *Site) { s.Carrier = WireGuardCarrier }), "carrier"},
		{mutate(st, func(s *Site) { s.Kind = WireGuardSite }), ""},
		{mutate(st, func(s *Site) { s.Kind, s.PeerKey = WireGuardSite, wgkey.Public{1} }), ""},
		{mutate(st, func(s *Site) { s.Kind, s.Carrier = WireGuardSite, WireGuardCarrier }), "carrier"},
		{mutate(st, func(s *Site) { s.Kind, s.Nodes = WireGuardSite, local.Nodes }), "nodes"},
		{mutate(st, func(s *Site) { s.PeerKey = wgkey.Public{1} }), "wireguard_public_key"},
		{mutate(local, func(s *Site) { s.Nodes = make([]NodeID, MaxSiteNodes+1) }), "nodes"},
		{mutate(st, func(s *Site) { s.Tunnels = 0 }), "tunnels"},
		{mutate(st, func(s *Site) { s.Tunnels = 8 }), ""},
		{mutate(st, func(s *Site) { s.Tunnels = 9 }), "tunnels"},
		{mutate(st, func(s *Site) { s.Org = OrgID{} }), "organization"},
		{mutate(st, func(s *Site) { s.Pool = PoolID{} }), "pool"},
		{&cn, ""},
		{mutate(cn, func(c *Connector) { c.Site = SiteID{} }), "site"},

		{&sv, ""},
		{mutate(sv, func(s *Service) { s.Kind = "quic" }), "kind"},
		{mutate(sv, func(s *Service) { s.Ports = Ports{80, 80} }), "ports"},
		{mutate(sv, func(s *Service) { s.Allow = nets("10.0.0.0/8") }), "allow"},
		{mutate(sv, func(s *Service) { s.ProxyProtocol = 1 }), "proxy_protocol"},
		{mutate(sv, func(s *Service) { s.Terminate = true }), "terminate"},
		{mutate(sv, func(s *Service) { s.Kind, s.Terminate, s.ProxyProtocol = TLS, true, 2 }), ""},
		{mutate(sv, func(s *Service) { s.Kind, s.ProxyProtocol = TLS, 3 }), "proxy_protocol"},
		{mutate(sv, func(s *Service) { s.Kind, s.ProxyProtocol = TLS, -1 }), "proxy_protocol"},
		{mutate(sv, func(s *Service) { s.Hostname = "" }), "hostname"},
		{mutate(sv, func(s *Service) { s.Hostname = "WWW.example.org" }), "hostname"},
		{mutate(sv, func(s *Service) { s.Hostname = "www.example.org." }), "hostname"},
		{mutate(sv, func(s *Service) { s.Hostname = "*.*.example.org" }), "hostname"},
		{mutate(sv, func(s *Service) { s.Hostname = "192.0.2.1" }), "hostname"},
		{mutate(sv, func(s *Service) { s.Pool = PoolID{} }), "pool"},

		{&raw, ""},
		{mutate(raw, func(s *Service) { s.Kind, s.ProxyProtocol = UDP, 0 }), ""},
		{mutate(raw, func(s *Service) { s.Kind = UDP }), "proxy_protocol"},
		{mutate(raw, func(s *Service) { s.Terminate = true }), "terminate"},
		{mutate(raw, func(s *Service) { s.Hostname = "db.example.org" }), "hostname"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{2, 1} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{0, 9} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{1000, 1999} }), ""},
		{mutate(raw, func(s *Service) { s.Ports = Ports{1000, 2000} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{443, 443} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{50, 60} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{7946, 7946} }), "ports"},
		{mutate(raw, func(s *Service) { s.Ports = Ports{51820, 51820} }), ""},
		{mutate(raw, func(s *Service) { s.Kind, s.ProxyProtocol, s.Ports = UDP, 0, Ports{51000, 51900} }), "ports"},
		{mutate(raw, func(s *Service) { s.Kind, s.ProxyProtocol, s.Ports = UDP, 0, Ports{443, 443} }), ""},
		{mutate(raw, func(s *Service) { s.Allow = nets("10.0.0.1/8") }), "allow[0]"},
		{mutate(raw, func(s *Service) { s.Allow = nets("::ffff:10.0.0.0/104") }), "allow[0]"},
		{mutate(raw, func(s *Service) { s.Allow = []netip.Prefix{{}} }), "allow[0]"},
		{mutate(raw, func(s *Service) { s.Allow = nets("2001:db8::/32", "10.0.0.0/8") }), "allow[1]"},
		{mutate(raw, func(s *Service) { s.Allow = nets("10.0.0.0/8", "10.0.0.0/8") }), "allow[1]"},
		{mutate(raw, func(s *Service) { s.Allow = make([]netip.Prefix, 257) }), "allow"},

		{&tg, ""},
		{mutate(tg, func(t *Target) { t.HealthCheck = &HealthCheck{} }), "health_check.kind"},
		{mutate(tg, func(t *Target) { t.Port = 0 }), "port"},
		{mutate(tg, func(t *Target) { t.Weight = 0 }), "weight"},
		{mutate(tg, func(t *Target) { t.Weight = 1001 }), "weight"},
		{mutate(tg, func(t *Target) { t.Service = ServiceID{} }), "service"},
		{mutate(tg, func(t *Target) { t.Site = SiteID{} }), "site"},
		{mutate(tg, func(t *Target) { t.Address = "" }), "address"},
		{mutate(tg, func(t *Target) { t.Address = "2001:DB8::1" }), "address"},
		{mutate(tg, func(t *Target) { t.Address = OverlayAddress(site).String() }), ""},
		{mutate(tg, func(t *Target) { t.Address = "fd57:6172:7265:3:0::1" }), "address"},
		{mutate(tg, func(t *Target) { t.Address = "app.internal" }), ""},
		{mutate(tg, func(t *Target) { t.PathPrefix = "" }), "path_prefix"},

		{&dm, ""},
		{mutate(dm, func(d *Domain) { d.Name = "*.example.org" }), "name"},
		{mutate(dm, func(d *Domain) { d.Name = "Example.org" }), "name"},
		{mutate(dm, func(d *Domain) { d.Name = strings.Repeat("abcdefghi.", 18) + "example.de" }), "name"},
		{mutate(dm, func(d *Domain) { d.Name = strings.Repeat("abcdefghi.", 18) + "exampl.de" }), ""},

		{&ct, ""},
		{mutate(ct, func(c *Certificate) { c.Names = nil }), "names"},
		{mutate(ct, func(c *Certificate) { c.Names = []string{"b.example.org", "a.example.org"} }), "names[1]"},
		{mutate(ct, func(c *Certificate) { c.Names = []string{"a.example.org", "a.example.org"} }), "names[1]"},
		{mutate(ct, func(c *Certificate) { c.Names = []string{"A.example.org"} }), "names[0]"},
		{mutate(ct, func(c *Certificate) { c.ChainPEM = nil }), "chain"},
		{mutate(ct, func(c *Certificate) { c.SealedKey = nil }), "private_key"},
		{mutate(ct, func(c *Certificate) { c.NotAfter = c.NotBefore }), "not_after"},

		{&APIKey{Name: "ci", Hash: hash}, ""},
		{&APIKey{Hash: hash}, "name"},
		{&APIKey{Name: "ci"}, "?"}, // our own mistake
		{&jt, ""},
		{mutate(jt, func(j *JoinToken) { j.Connector = ConnectorID{}.New() }), "node"},
		{mutate(jt, func(j *JoinToken) { j.Node = NodeID{} }), "node"},
	} {
		if got := field(c.row.Validate()); got != c.want {
			t.Errorf("%T %+v: field %q (%v), want %q", c.row, c.row, got, c.row.Validate(), c.want)
		}
	}
}

func TestLimitsFitTogether(t *testing.T) {
	label := GluePrefix + strings.Repeat("n", MaxNodeName)
	if len(label) != 63 {
		t.Errorf("the label of the longest node name has %d octets, want 63", len(label))
	}
	if n := len(label) + 1 + MaxApex; n != 253 {
		t.Errorf("the longest name of a node has %d octets, want 253", n)
	}
}

func TestCanonicalAddress(t *testing.T) {
	for in, want := range map[string]string{ // "": refused
		"10.0.0.1":                 "10.0.0.1",
		"127.0.0.1":                "127.0.0.1", // the connector's own machine
		"::1":                      "::1",
		"2001:DB8:0::1":            "2001:db8::1",
		"::ffff:10.0.0.1":          "10.0.0.1",
		"App.Internal.":            "app.internal",
		"localhost":                "localhost",
		"":                         "",
		"010.0.0.1":                "",
		"10.0.0.1:80":              "",
		"[::1]":                    "",
		"0.0.0.0":                  "",
		"0.1.2.3":                  "",
		"::":                       "",
		"169.254.169.254":          "",
		"::ffff:169.254.169.254":   "",
		"fe80::1":                  "",
		"fe80::1%eth0":             "",
		"2001:db8::1%eth0":         "",
		"224.0.0.1":                "",
		"ff02::1":                  "",
		"255.255.255.255":          "",
		"fd57:6172:7265:1::1":      "",
		"http://app":               "",
		"*.internal":               "",
		"app internal":             "",
		"2130706433":               "",
		"0x7f.1":                   "",
		"app.internal\x00.example": "",
	} {
		got, err := CanonicalAddress(in)
		if (err == nil) != (want != "") || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzCanonicalAddress(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "::ffff:169.254.169.254", "fe80::1%eth0", "app.internal", "[::1]", "1.2.3.4."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := CanonicalAddress(s)
		if err != nil {
			return
		}
		if again, err := CanonicalAddress(got); err != nil || again != got {
			t.Errorf("%q is %q, which is %q, %v", s, got, again, err)
		}
		if a, err := netip.ParseAddr(got); err == nil && (a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "") {
			t.Errorf("%q is accepted as %s", s, got)
		}
	})
}

func TestPathPrefix(t *testing.T) {
	for p, ok := range map[string]bool{
		"/": true, "/a": true, "/a/b": true, "/a.b/~c/d_e-f": true, "/v1:run": true, "/A": true, "/@x/(y)": true,
		"": false, "a": false, "//": false, "/a/": false, "/a//b": false, "/.": false, "/a/..": false, "/a/./b": false,
		"/a?b": false, "/a#b": false, "/a%2fb": false, "/a b": false, "/a\\b": false, "/é": false, "/a\x00": false, "/a;b": false,
		"/" + strings.Repeat("a", 254): true, "/" + strings.Repeat("a", 255): false,
	} {
		if err := checkPath("path_prefix", p); (err == nil) != ok {
			t.Errorf("%q: %v", p, err)
		}
	}
}
