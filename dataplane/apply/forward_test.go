package apply

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/sni"
)

// tcpRouteMsg is a service whose TLS ends at the node, whatever is in it.
func tcpRouteMsg() *nodev1.Route {
	r := routeMsg("service_4", "db.example.org", "certificate/o/cert_4")
	r.Mode, r.ProxyProtocol = nodev1.RouteMode_ROUTE_MODE_TERMINATE_TCP, 1
	return r
}

var oneTarget = []balance.Target{{ID: "target_1", Site: "site_1", Weight: 100}}

func TestPorts(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	if len(m.l4.Forwards)+len(m.l4.Names) != 0 {
		t.Errorf("%+v", m.l4)
	}
	m.took()
	forward := res(t, "forward/o/service_3", forwardMsg())
	must(t, n, tx(6, forward))
	if got := m.took(); !slices.Equal(got, []string{"l4", "dns"}) {
		t.Errorf("calls %v", got)
	}
	want := l4.Config{Forwards: []l4.Forward{{
		Service: "service_3", FirstPort: 6000, LastPort: 6009, ProxyProtocol: 2, Targets: oneTarget,
		Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
	}}}
	if d := cmp.Diff(want, m.l4, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}

	// What can't be opened is rejected by name, and tried again with whatever comes next.
	m.taken = errors.Join(&l4.ForwardError{Service: "service_3", Err: errBroken})
	wider := forwardMsg()
	wider.LastPort++
	for i, x := range []ads.Transaction{tx(7, res(t, "forward/o/service_3", wider)), tx(8)} {
		if got := said(must(t, n, x)); !slices.Equal(got, []string{"forward/o/service_3: service service_3: broken"}) {
			t.Errorf("checkpoint %d: %q", 7+i, got)
		}
	}
	m.taken = nil
	m.took()
	if got := said(must(t, n, tx(9))); len(got) != 0 || !slices.Equal(m.took(), []string{"l4", "dns"}) {
		t.Errorf("after repair: %q", got)
	}
	must(t, n, tx(10))
	if got := m.took(); !slices.Equal(got, []string{"dns"}) {
		t.Errorf("calls %v", got)
	}
}

func TestNamesOfTCPServices(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "certificate/o/cert_4", certMsg(t, "db.example.org")), res(t, "route/o/service_4", tcpRouteMsg())))
	if len(m.l4.Names) != 1 || len(m.proxy.Routes) != 1 {
		t.Fatalf("%d names, %d HTTP routes", len(m.l4.Names), len(m.proxy.Routes))
	}
	name := m.l4.Names[0]
	if name.Service != "service_4" || name.Hostname != "db.example.org" || name.ProxyProtocol != 1 || len(name.Certificates) != 1 || !slices.Equal(name.Targets, oneTarget) {
		t.Errorf("%+v", name)
	}
	i := slices.IndexFunc(m.sni.Routes, func(r sni.Route) bool { return r.Hostname == "db.example.org" })
	if i < 0 || m.sni.Routes[i].Mode != sni.TCP || len(m.sni.Routes[i].Targets) != 0 {
		t.Errorf("%+v", m.sni.Routes)
	}
	// A certificate for another name is not shown.
	must(t, n, tx(7, res(t, "certificate/o/cert_4", certMsg(t, "other.example.org"))))
	if len(m.l4.Names[0].Certificates) != 0 {
		t.Error("the certificate is for another name")
	}
	pass := routeMsg("service_2", "own.example.org", "")
	pass.ProxyProtocol = 2
	must(t, n, tx(8, res(t, "route/o/service_2", pass)))
	i = slices.IndexFunc(m.sni.Routes, func(r sni.Route) bool { return r.Hostname == "own.example.org" })
	if r := m.sni.Routes[i]; r.Mode != sni.Passthrough || r.ProxyProtocol != 2 || !slices.Equal(r.Targets, oneTarget) {
		t.Errorf("%+v", r)
	}
}
