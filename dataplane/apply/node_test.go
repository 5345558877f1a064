package apply

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/resource"
)

func TestEverySubsystemGetsItsPart(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	if n.Ready() {
		t.Error("ready before anything is applied")
	}
	if rej := must(t, n, world(t)); len(rej) != 0 {
		t.Errorf("rejected %v", rej)
	}
	// What others rely on comes first.
	if got := m.took(); !slices.Equal(got, []string{"tunnel", "fabric", "l4", "proxy", "sni", "dns"}) {
		t.Errorf("calls %v", got)
	}
	if !n.Ready() {
		t.Error("not ready")
	}
	var peers []string
	for _, p := range m.tunnel.Peers {
		peers = append(peers, p.ID)
	}
	if !slices.Equal(peers, []string{"node_b", "connector_site_1"}) { // not oneself, not a site that others serve
		t.Errorf("peers %v", peers)
	}
	if len(m.fabric.Sites) != 2 || len(m.fabric.Nodes) != 2 || m.fabric.Self != me {
		t.Errorf("fabric %+v", m.fabric)
	}
	if !slices.Equal(hosts(m.proxy), []string{"app.example.org"}) || len(m.proxy.Certificates) != 1 {
		t.Errorf("proxy %v", hosts(m.proxy))
	}
	if len(m.sni.Routes) != 2 || m.sni.Routes[0].Mode != sni.HTTP || m.sni.Routes[1].Mode != sni.Passthrough || len(m.sni.Routes[1].Targets) != 1 {
		t.Errorf("sni %+v", m.sni)
	}
	if m.dns.Serial != 5 || len(m.dns.Zones) != 1 || len(m.dns.RecordSets) != 1 || len(m.dns.Nodes) != 2 {
		t.Errorf("dns %+v", m.dns)
	}
}

func TestOnlyWhoIsConcernedIsTouched(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T) ads.Transaction
		want   []string
	}{
		"nothing": {func(*testing.T) ads.Transaction { return tx(6) }, []string{"dns"}}, // the serial
		"record": {func(t *testing.T) ads.Transaction {
			return tx(6, res(t, "recordset/o/service_9", recordMsg("x.example.org")))
		}, []string{"dns"}},
		"site": {func(t *testing.T) ads.Transaction { return tx(6, res(t, "site/o/site_3", siteMsg("site_3", 9, me))) }, []string{"tunnel", "fabric", "dns"}},
		// What went through the tunnel that there was has to find another way.
		"connector with another key": {func(t *testing.T) ads.Transaction { return tx(6, res(t, "site/o/site_1", siteMsg("site_1", 9, me))) }, []string{"tunnel", "fabric", "reconnect connector_site_1", "dns"}},
		"node gone": {func(*testing.T) ads.Transaction {
			gone := tx(6)
			gone.Removed[resource.Node] = []string{"node/node_b"}
			return gone
		}, []string{"tunnel", "fabric", "reconnect node_b", "dns"}},
		"route": {func(t *testing.T) ads.Transaction {
			return tx(6, res(t, "route/o/service_2", routeMsg("service_2", "x.example.org", "")))
		}, []string{"l4", "proxy", "sni", "dns"}},
		"same again": {func(t *testing.T) ads.Transaction { return tx(6, res(t, "zone/o/domain_1", zoneMsg())) }, []string{"dns"}},
		"certificate": {func(t *testing.T) ads.Transaction {
			return tx(6, res(t, "certificate/o/cert_1", certMsg(t, "app.example.org")))
		}, []string{"l4", "proxy", "sni", "dns"}},
	} {
		n, m := newNode(t, t.TempDir())
		must(t, n, world(t))
		m.took()
		must(t, n, tc.change(t))
		if got := m.took(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: calls %v, want %v", name, got, tc.want)
		}
	}
}

func TestBadResourceIsRejectedByNameAndTheRestApplied(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	good := m.proxy.Certificates[0]
	bad := certMsg(t, "app.example.org")
	bad.ChainPem = []byte("this is no certificate")
	poison := res(t, "certificate/o/cert_1", bad)
	rej := must(t, n, tx(6, poison, res(t, "recordset/o/service_9", recordMsg("x.example.org"))))
	if len(rej) != 1 || rej[0].GetName() != "certificate/o/cert_1" || rej[0].GetVersion() != poison.Version || !strings.Contains(rej[0].GetReason(), "chain_pem") {
		t.Fatalf("rejections %v", rej)
	}
	if len(m.dns.RecordSets) != 2 || m.dns.Serial != 6 {
		t.Errorf("the rest was not applied: %+v", m.dns)
	}
	if len(m.proxy.Certificates) != 1 || m.proxy.Certificates[0].TLS.Leaf.SerialNumber.Cmp(good.TLS.Leaf.SerialNumber) != 0 {
		t.Error("the last good certificate is gone")
	}
	// It is said again at every checkpoint, until something better comes.
	if rej := must(t, n, tx(7)); len(rej) != 1 {
		t.Errorf("forgotten: %v", rej)
	}
	if rej := must(t, n, tx(8, res(t, "certificate/o/cert_1", certMsg(t, "app.example.org")))); len(rej) != 0 {
		t.Errorf("after a good one: %v", rej)
	}
	// The received set, which digests are made of, has the rejected version.
	must(t, n, tx(9, poison))
	if got := n.state.state().Received[resource.Certificate]["certificate/o/cert_1"]; got != poison.Version {
		t.Errorf("received %q", got)
	}
}

func TestRouteWithoutItsCertificate(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	// A route that moves to a certificate that is not here stays with the one it had.
	rej := must(t, n, tx(6, res(t, "route/o/service_1", routeMsg("service_1", "app.example.org", "certificate/o/none"))))
	if len(rej) != 1 || rej[0].GetTypeUrl() != resource.Route || !strings.Contains(rej[0].GetReason(), "certificate/o/none is not here") {
		t.Errorf("rejections %v", rej)
	}
	if len(m.proxy.Routes) != 1 || m.proxy.Routes[0].Certificate != "certificate/o/cert_1" {
		t.Errorf("routes %+v", m.proxy.Routes)
	}
	// When it comes, the route is used.
	if rej := must(t, n, tx(7, res(t, "certificate/o/none", certMsg(t, "app.example.org")))); len(rej) != 0 || m.proxy.Routes[0].Certificate != "certificate/o/none" {
		t.Errorf("%v, %+v", rej, m.proxy.Routes)
	}
	// A new route without one is not there at all, on any of the two.
	must(t, n, tx(8, res(t, "route/o/service_3", routeMsg("service_3", "new.example.org", "certificate/o/nowhere"))))
	if slices.Contains(hosts(m.proxy), "new.example.org") || len(m.sni.Routes) != 2 {
		t.Errorf("%v, %+v", hosts(m.proxy), m.sni.Routes)
	}
}

// A certificate beside the first one is used when it is here; that it is not keeps nobody from the first.
func TestRouteWithFurtherCertificates(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	r, tcp := routeMsg("service_1", "app.example.org", "certificate/o/cert_1"), tcpRouteMsg()
	r.FurtherCertificates, tcp.FurtherCertificates = []string{"certificate/o/late"}, []string{"certificate/o/late"}
	rej := must(t, n, tx(6, res(t, "route/o/service_1", r), res(t, "certificate/o/cert_4", certMsg(t, "db.example.org")), res(t, "route/o/service_4", tcp)))
	if len(rej) != 0 || len(m.proxy.Routes) != 1 || !slices.Equal(m.proxy.Routes[0].Further, r.FurtherCertificates) || len(m.l4.Names[0].Certificates) != 1 {
		t.Fatalf("%v, %+v, %+v", rej, m.proxy.Routes, m.l4.Names)
	}
	must(t, n, tx(7, res(t, "certificate/o/late", certMsg(t, "app.example.org", "db.example.org"))))
	if len(m.proxy.Certificates) != 3 || len(m.l4.Names[0].Certificates) != 2 {
		t.Errorf("%d certificates, %+v", len(m.proxy.Certificates), m.l4.Names)
	}
}

func TestRemovalAndReset(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	x := tx(6)
	x.Removed[resource.RecordSet] = []string{"recordset/o/service_1", "recordset/o/never-there"}
	must(t, n, x)
	if len(m.dns.RecordSets) != 0 {
		t.Errorf("%+v", m.dns.RecordSets)
	}
	x = tx(7, res(t, "node/"+me, nodeMsg(me, "me", 1)))
	x.Reset = []string{resource.Node, resource.Route}
	must(t, n, x)
	if len(m.dns.Nodes) != 1 || len(m.sni.Routes) != 0 || len(m.dns.Zones) != 1 {
		t.Errorf("nodes %v, routes %v, zones %v", m.dns.Nodes, m.sni.Routes, m.dns.Zones)
	}
}

func TestPresence(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	must(t, n, world(t))
	down := func() bool {
		for _, o := range m.dns.Nodes {
			if o.ID == "node_b" {
				for _, f := range m.fabric.Nodes {
					if f.ID == "node_b" && f.Down != o.Down {
						t.Error("fabric and dns disagree")
					}
				}
				return o.Down
			}
		}
		t.Fatal("node_b is gone")
		return false
	}
	m.took()
	n.Presence(t.Context(), resource.NodeHealth, []ads.Resource{nodeHealth(t, "node_b", nodev1.NodeState_NODE_STATE_DOWN)}, nil, true)
	if !down() || !slices.Equal(m.took(), []string{"fabric", "dns", "reconnect node_b"}) {
		t.Error("not down")
	}
	// Who is not mentioned keeps the last state; the same again touches nobody.
	n.Presence(t.Context(), resource.NodeHealth, []ads.Resource{nodeHealth(t, me, nodev1.NodeState_NODE_STATE_UP), {Body: []byte{0xff}}}, nil, true)
	if !down() || len(m.took()) != 0 {
		t.Error("forgotten")
	}
	must(t, n, tx(6))
	if !down() {
		t.Error("a transaction forgot it")
	}
	// It is not kept on disk: a node that starts takes everybody to be up.
	again, m2 := newNode(t, dir)
	if _, err := again.Restore(t.Context()); err != nil || m2.dns.Nodes[0].Down || m2.dns.Nodes[1].Down {
		t.Errorf("%v %+v", err, m2.dns.Nodes)
	}
	m.took()
	n.Presence(t.Context(), resource.NodeHealth, []ads.Resource{nodeHealth(t, "node_b", nodev1.NodeState_NODE_STATE_UP)}, nil, false)
	if down() || !slices.Equal(m.took(), []string{"fabric", "dns"}) {
		t.Error("still down, or connections closed for who came back")
	}
}

func TestTunnelErrors(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	m.fail = errors.Join(&tunnel.PeerError{ID: "x", Err: errBroken})
	must(t, n, world(t)) // one peer is not the end
	if len(m.dns.Zones) != 1 {
		t.Error("the rest was not applied")
	}
	m.fail = errors.Join(&tunnel.PeerError{ID: "x", Err: errBroken}, errBroken)
	before := n.state
	if _, err := n.Transaction(t.Context(), tx(6, res(t, "site/o/site_1", siteMsg("site_1", 9, me)))); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	if n.state != before {
		t.Error("half applied")
	}
}

func TestRestartFromDisk(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	must(t, n, world(t))
	poison := certMsg(t, "app.example.org")
	poison.PrivateKeyPem = nil
	want := res(t, "certificate/o/cert_1", poison)
	must(t, n, tx(6, want))

	again, m2 := newNode(t, dir)
	state, err := again.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := m2.took(); !slices.Equal(got, []string{"tunnel", "fabric", "l4", "proxy", "sni", "dns"}) {
		t.Errorf("calls %v", got)
	}
	opts := cmp.Options{addrs, cmpopts.IgnoreFields(httpproxy.Certificate{}, "TLS")}
	if diff := cmp.Diff(m.proxy, m2.proxy, opts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(m.dns, m2.dns, addrs); diff != "" || diff == "" && m2.dns.Serial != 6 {
		t.Error(diff)
	}
	if state.Checkpoint.GetRevision() != 6 || state.Received[resource.Certificate]["certificate/o/cert_1"] != want.Version {
		t.Errorf("state %+v", state)
	}
	if diff := cmp.Diff(map[string]int{"NodeConfig": 1, "Node": 2, "Site": 2, "Certificate": 1, "Route": 2, "Zone": 1, "RecordSet": 1}, received(state)); diff != "" {
		t.Error(diff)
	}
	if rej := must(t, again, tx(7)); len(rej) != 1 {
		t.Errorf("the rejection is forgotten: %v", rej)
	}
}

func TestNothingOnDisk(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	state, err := n.Restore(t.Context())
	if err != nil || state.Checkpoint != nil || len(m.calls) != 0 || n.Ready() {
		t.Errorf("%+v, %v, %v", state, err, m.calls)
	}
}

// However changes are grouped, a node ends in the same place.
func TestGroupingDoesNotMatter(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var steps []ads.Transaction
		for i := range 30 {
			x := tx(uint64(i + 10))
			if name := string(rune('a' + rnd.IntN(6))); rnd.IntN(4) == 0 {
				x.Removed[resource.RecordSet] = []string{"recordset/o/" + name}
			} else {
				r := res(t, "recordset/o/"+name, recordMsg(name+string(rune('a'+rnd.IntN(3)))+".example.org"))
				x.Upserts[r.TypeURL] = []ads.Resource{r}
			}
			steps = append(steps, x)
		}
		one, m1 := newNode(t, t.TempDir())
		two, m2 := newNode(t, t.TempDir())
		must(t, one, world(t))
		must(t, two, world(t))
		for _, x := range steps {
			must(t, one, x)
		}
		for len(steps) > 0 {
			k := 1 + rnd.IntN(len(steps))
			must(t, two, merge(steps[:k]))
			steps = steps[k:]
		}
		if diff := cmp.Diff(m1.dns, m2.dns, addrs); diff != "" {
			t.Fatalf("seed %d:\n%s", seed, diff)
		}
	}
}

// merge makes one transaction of several, as a replica would: each name once, as it is at the end.
func merge(steps []ads.Transaction) ads.Transaction {
	last := map[string]*ads.Resource{}
	var order []string
	for _, x := range steps {
		for _, r := range x.Upserts[resource.RecordSet] {
			last[r.Name] = &r
			order = append(order, r.Name)
		}
		for _, name := range x.Removed[resource.RecordSet] {
			last[name] = nil
			order = append(order, name)
		}
	}
	out := tx(steps[len(steps)-1].Checkpoint.GetRevision())
	slices.Sort(order)
	for _, name := range slices.Compact(order) {
		if r := last[name]; r != nil {
			out.Upserts[resource.RecordSet] = append(out.Upserts[resource.RecordSet], *r)
		} else {
			out.Removed[resource.RecordSet] = append(out.Removed[resource.RecordSet], name)
		}
	}
	return out
}

func TestTrustReachesTheMachine(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	pem := certMsg(t, "ca").GetChainPem()
	must(t, n, tx(1, res(t, "trust/cluster", &nodev1.Trust{IdentityAuthoritiesPem: pem})))
	if string(m.trust) != string(pem) {
		t.Error("not handed over")
	}
	if !proto.Equal(n.state.checkpoint, &nodev1.Checkpoint{Revision: 1}) {
		t.Error("checkpoint")
	}
}
