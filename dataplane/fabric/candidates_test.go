package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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

	for _, tt := range []struct {
		name   string
		cfg    Config
		site   string
		relays bool
		up     []string
		late   []string
		want   []string
	}{
		{"unknown site", base, "other", true, []string{"c1"}, none, nil},
		{"tunnels first, then relays as assigned", base, "s", true, []string{"c1", "c2", "n2", "n3"}, none, []string{"c1", "c2", "n3", "n2"}},
		{"a connector that is not up is left out", base, "s", true, []string{"c2", "n2", "n3"}, none, []string{"c2", "n3", "n2"}},
		{"never itself", base, "s", true, []string{"n1", "n2", "n3"}, none, []string{"n3", "n2"}},
		{"a relay that is not up comes later", base, "s", true, []string{"n2"}, none, []string{"n2", "n3"}},
		{"no relay is up: they are tried all the same", base, "s", true, none, none, []string{"n3", "n2"}},
		{"down comes last", down3, "s", true, []string{"n3"}, none, []string{"n2", "n3"}},
		{"a relay that has the site connected comes first", told, "s", true, []string{"n2", "n3"}, none, []string{"n2", "n3"}},
		{"but not if it is not up", told, "s", true, []string{"n3"}, none, []string{"n3", "n2"}},
		{"nor if it is draining", draining, "s", true, []string{"n2", "n3"}, none, []string{"n3", "n2"}},
		{"late comes behind down", down3, "s", true, []string{"c1", "n2", "n3"}, []string{"c1", "n2"}, []string{"n3", "c1", "n2"}},
		{"on the relay port tunnels only", base, "s", false, []string{"c1", "n2", "n3"}, none, []string{"c1"}},
		{"on the relay port without a tunnel", base, "s", false, []string{"n2", "n3"}, none, nil},
		{"an assigned node that nobody knows", unknown, "s", true, []string{"n2"}, none, []string{"n2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(tt.cfg)
			got := table.candidates(tt.site, tt.relays,
				func(p string) bool { return slices.Contains(tt.up, p) },
				func(p string) bool { return slices.Contains(tt.late, p) })
			var peers []string
			for _, c := range got {
				peers = append(peers, c.peer)
				wantPort := uint16(ConnectorPort)
				if c.relay {
					wantPort = RelayPort
				}
				if c.addr.Port() != wantPort {
					t.Errorf("%s: port %d, want %d", c.peer, c.addr.Port(), wantPort)
				}
			}
			if d := cmp.Diff(tt.want, peers); d != "" {
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
