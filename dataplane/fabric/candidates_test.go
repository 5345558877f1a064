package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/dataplane/liveness"
)

func overlay(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd57:6172:7265::%x", n)) }

func TestCandidates(t *testing.T) {
	conn := func(n int) Connector { return Connector{ID: fmt.Sprint("c", n), Addr: overlay(0xc0 + n)} }
	node := func(n int, down bool) Node { return Node{ID: fmt.Sprint("n", n), Addr: overlay(n), Down: down} }
	none := []string(nil)
	base := Config{
		Self:  "n1",
		Nodes: []Node{node(1, false), node(2, false), node(3, false), node(4, false)},
		Sites: []Site{{ID: "s", Connectors: []Connector{conn(1), conn(2)}, Nodes: []string{"n3", "n1", "n2"}}},
	}
	down3 := base
	down3.Nodes = []Node{node(1, false), node(2, false), node(3, true), node(4, false)}
	told := base
	told.Nodes = []Node{node(1, false), node(2, false), node(3, false), node(4, false)}
	told.Nodes[1].Connected = []string{"r", "s", "t"}
	draining := told
	draining.Nodes = slices.Clone(told.Nodes)
	draining.Nodes[1].Draining = true
	unknown := base
	unknown.Sites = []Site{{ID: "s", Nodes: []string{"n9", "n2"}}}
	regions := base
	regions.Region = "eu"
	regions.Sites = []Site{{ID: "s", Region: "us", Nodes: []string{"n2", "n3", "n4", "n5", "n6"}}}
	regions.Nodes = []Node{{ID: "n2"}, {ID: "n3", Region: "asia"}, {ID: "n4", Region: "us"}, {ID: "n5", Region: "eu"}, {ID: "n6", Region: "eu", Down: true}}
	local := base // n1 and n2 stand in the site
	local.Sites = []Site{{ID: "s", Local: true, Nodes: []string{"n2", "n1"}}}
	elsewhere := base
	elsewhere.Sites = []Site{{ID: "s", Local: true, Nodes: []string{"n3", "n2"}}}
	elsewhere.Nodes = told.Nodes
	both := local // a connector that is still there while the site becomes local
	both.Sites = []Site{{ID: "s", Local: true, Nodes: []string{"n1"}, Connectors: []Connector{conn(1)}}}
	assigned := base
	assigned.Sites = []Site{{ID: "s", Nodes: []string{"n1"}}}
	loads := func(n3, n2 int) Config {
		c := base
		c.Nodes = slices.Clone(base.Nodes)
		c.Nodes[1].Load, c.Nodes[2].Load = n2, n3
		return c
	}
	ms := func(n int) liveness.Quality { return liveness.Quality{RTT: time.Duration(n) * time.Millisecond} }

	for _, tt := range []struct {
		name   string
		cfg    Config
		site   string
		relays bool
		up     []string // connectors by both carriers, nodes inside the tunnel, or carrier/peer
		late   []string
		view   view // up and late excepted
		want   []string
	}{
		{"unknown site", base, "other", true, []string{"c1"}, none, view{}, nil},
		{"connectors first, by the carrier to prefer, then relays as assigned", base, "s", true, []string{"c1", "c2", "n2", "n3"}, none, view{},
			[]string{"stream/c1", "stream/c2", "wireguard/c1", "wireguard/c2", "wireguard/n3", "wireguard/n2"}},
		{"the other carrier is preferred", base, "s", false, []string{"c1"}, none, view{prefer: func(Site, string) string { return CarrierWireGuard }},
			[]string{"wireguard/c1", "stream/c1"}},
		{"each connector has its own", base, "s", false, []string{"c1", "c2"}, none, view{prefer: func(_ Site, c string) string {
			if c == "c1" {
				return CarrierWireGuard
			}
			return CarrierStream
		}}, []string{"wireguard/c1", "stream/c2", "stream/c1", "wireguard/c2"}},
		{"a carrier that is down is stood in for", base, "s", false, []string{"wireguard/c1", "stream/c2"}, none, view{}, []string{"stream/c2", "wireguard/c1"}},
		{"connectors take turns", base, "s", false, []string{"stream/c1", "stream/c2"}, none, view{turn: 1}, []string{"stream/c2", "stream/c1"}},
		{"and turns", base, "s", false, []string{"stream/c1", "stream/c2"}, none, view{turn: 2}, []string{"stream/c1", "stream/c2"}},
		{"a connector that is not up is left out", base, "s", true, []string{"wireguard/c2", "n2", "n3"}, none, view{}, []string{"wireguard/c2", "wireguard/n3", "wireguard/n2"}},
		{"never itself", base, "s", true, []string{"n1", "n2", "n3"}, none, view{}, []string{"wireguard/n3", "wireguard/n2"}},
		{"a relay that is not up comes later", base, "s", true, []string{"n2"}, none, view{}, []string{"wireguard/n2", "wireguard/n3"}},
		{"no relay is up: they are tried all the same", base, "s", true, none, none, view{}, []string{"wireguard/n3", "wireguard/n2"}},
		{"down comes last", down3, "s", true, []string{"n3"}, none, view{}, []string{"wireguard/n2", "wireguard/n3"}},
		{"a relay that has the site connected comes first", told, "s", true, []string{"n2", "n3"}, none, view{}, []string{"wireguard/n2", "wireguard/n3"}},
		{"but not if it is not up", told, "s", true, []string{"n3"}, none, view{}, []string{"wireguard/n3", "wireguard/n2"}},
		{"nor if it is draining", draining, "s", true, []string{"n2", "n3"}, none, view{}, []string{"wireguard/n3", "wireguard/n2"}},
		{"late comes behind down", down3, "s", true, []string{"wireguard/c1", "n2", "n3"}, []string{"wireguard/c1", "wireguard/n2"}, view{}, []string{"wireguard/n3", "wireguard/c1", "wireguard/n2"}},
		{"late by one carrier", base, "s", false, []string{"c1"}, []string{"stream/c1"}, view{}, []string{"wireguard/c1", "stream/c1"}},
		{"relays: own region, the site's, others; none is others", regions, "s", true, []string{"n2", "n3", "n4", "n5", "n6"}, none, view{},
			[]string{"wireguard/n5", "wireguard/n4", "wireguard/n2", "wireguard/n3", "wireguard/n6"}},
		{"within a region by latency, what is not measured last", base, "s", true, []string{"n2", "n3"}, none,
			view{quality: func(n string) liveness.Quality { return map[string]liveness.Quality{"n2": ms(20)}[n] }}, []string{"wireguard/n2", "wireguard/n3"}},
		{"latencies that hardly differ are equal", base, "s", true, []string{"n2", "n3"}, none,
			view{quality: func(n string) liveness.Quality { return map[string]liveness.Quality{"n2": ms(20), "n3": ms(24)}[n] }}, []string{"wireguard/n3", "wireguard/n2"}},
		{"then by load", loads(130, 60), "s", true, []string{"n2", "n3"}, none, view{}, []string{"wireguard/n2", "wireguard/n3"}},
		{"loads that hardly differ are equal", loads(120, 70), "s", true, []string{"n2", "n3"}, none, view{}, []string{"wireguard/n3", "wireguard/n2"}},
		{"load comes behind latency", loads(1000, 0), "s", true, []string{"n2", "n3"}, none,
			view{quality: func(n string) liveness.Quality { return map[string]liveness.Quality{"n2": ms(20), "n3": ms(2)}[n] }}, []string{"wireguard/n3", "wireguard/n2"}},
		{"then by what this node has asked of them", base, "s", true, []string{"n2", "n3"}, none,
			view{load: func(p string) int { return map[string]int{"n3": 1}[p] }}, []string{"wireguard/n2", "wireguard/n3"}},
		{"which counts less than what they carry", loads(130, 60), "s", true, []string{"n2", "n3"}, none,
			view{load: func(p string) int { return map[string]int{"n2": 9}[p] }}, []string{"wireguard/n2", "wireguard/n3"}},
		{"relays by streams, then what stands in", base, "s", true, []string{"n2", "n3", "stream/n2", "stream/n3"}, none, view{},
			[]string{"stream/n3", "stream/n2", "wireguard/n3", "wireguard/n2"}},
		{"a stand-in behind all that have the preferred way", told, "s", true, []string{"n2", "n3", "stream/n2", "stream/n3"}, none, view{},
			[]string{"stream/n2", "stream/n3", "wireguard/n3", "wireguard/n2"}},
		{"streams to one, the tunnel to the other", base, "s", true, []string{"n2", "n3", "stream/n2"}, none, view{},
			[]string{"wireguard/n3", "stream/n2", "wireguard/n2"}},
		{"streams, though the tunnel is not up", base, "s", true, []string{"stream/n2", "n3"}, none, view{},
			[]string{"wireguard/n3", "stream/n2", "wireguard/n2"}},
		{"streams to a node that is known to be down come last", down3, "s", true, []string{"n2", "n3", "stream/n2", "stream/n3"}, none, view{},
			[]string{"stream/n2", "wireguard/n2", "stream/n3", "wireguard/n3"}},
		{"streams that kept a dial waiting", base, "s", true, []string{"n2", "stream/n2"}, []string{"stream/n2"}, view{},
			[]string{"wireguard/n2", "wireguard/n3", "stream/n2"}},
		{"on the relay port connectors only", base, "s", false, []string{"wireguard/c1", "n2", "n3"}, none, view{}, []string{"wireguard/c1"}},
		{"on the relay port without a connector", base, "s", false, []string{"n2", "n3"}, none, view{}, nil},
		{"an assigned node that nobody knows", unknown, "s", true, []string{"n2"}, none, view{}, []string{"wireguard/n2"}},
		{"this node stands in the site: itself first, then the others that do", local, "s", true, []string{"local/s", "n2"}, none, view{}, []string{"local/s", "wireguard/n2"}},
		{"and for others, itself only", local, "s", false, []string{"local/s", "n2"}, none, view{}, []string{"local/s"}},
		{"itself first, whatever is preferred", both, "s", true, []string{"local/s", "c1"}, none, view{}, []string{"local/s", "stream/c1", "wireguard/c1"}},
		{"itself late", local, "s", true, []string{"local/s", "n2"}, []string{"local/s"}, view{}, []string{"wireguard/n2", "local/s"}},
		{"it knows nothing of the site's targets yet", local, "s", true, []string{"n2"}, none, view{}, []string{"wireguard/n2"}},
		{"others stand in the site, who says so first", elsewhere, "s", true, []string{"local/s", "n2", "n3"}, none, view{}, []string{"wireguard/n2", "wireguard/n3"}},
		{"a relay does not stand in the site", elsewhere, "s", false, []string{"local/s", "n2", "n3"}, none, view{}, nil},
		{"assigned to a site that is not local", assigned, "s", true, []string{"local/s"}, none, view{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.view
			v.up = func(carrier, p string) bool {
				return slices.Contains(tt.up, p) || slices.Contains(tt.up, carrier+"/"+p)
			}
			v.reaches = func(carrier, n string) bool {
				return carrier == CarrierWireGuard && slices.Contains(tt.up, n) || slices.Contains(tt.up, carrier+"/"+n)
			}
			v.late = func(key string) bool { return slices.Contains(tt.late, key) }
			if v.prefer == nil {
				v.prefer = func(Site, string) string { return CarrierStream }
			}
			if v.quality == nil {
				v.quality = func(string) liveness.Quality { return liveness.Quality{} }
			}
			if v.load == nil {
				v.load = func(string) int { return 0 }
			}
			var keys []string
			for _, c := range newTable(tt.cfg).candidates(tt.site, tt.relays, v) {
				keys = append(keys, c.key())
				wantPort := uint16(ConnectorPort)
				switch {
				case c.relay:
					wantPort = RelayPort
				case c.carrier == CarrierLocal:
					wantPort = 0
				}
				if c.addr.Port() != wantPort {
					t.Errorf("%s: port %d, want %d", c.peer, c.addr.Port(), wantPort)
				}
			}
			if d := cmp.Diff(tt.want, keys); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestNewTableKnowsWhoMayRelay(t *testing.T) {
	table := newTable(Config{Self: "n1", Nodes: []Node{{ID: "n1", Addr: overlay(1)}, {ID: "n2", Addr: overlay(2)}},
		Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(3)}}}}})
	want := map[netip.Addr]string{overlay(2): "n2"}
	if d := cmp.Diff(want, table.peers, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
