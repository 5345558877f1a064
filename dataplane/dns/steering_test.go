package dns

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestSteering(t *testing.T) {
	type state struct{ draining, down bool }
	up, drained, dead := state{}, state{draining: true}, state{down: true}
	for _, tt := range []struct {
		name  string
		nodes []state // 192.0.2.1 and on
		want  []string
	}{
		{"all up", []state{up, up, up}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{"one down", []state{up, dead, up}, []string{"192.0.2.1", "192.0.2.3"}},
		{"one draining", []state{drained, up, up}, []string{"192.0.2.2", "192.0.2.3"}},
		{"one left", []state{drained, dead, up}, []string{"192.0.2.3"}},
		{"all down", []state{dead, dead}, []string{"192.0.2.1", "192.0.2.2"}},
		{"none active and up", []state{dead, drained}, []string{"192.0.2.1", "192.0.2.2"}},
		{"no nodes", nil, nil},
	} {
		cfg := Config{
			Zones:      []Zone{{ID: "z", Apex: "example.org", Pool: "dns"}},
			RecordSets: []RecordSet{{Zone: "z", Owner: "www.example.org", TTL: 30, Pool: "p"}},
		}
		for i, s := range tt.nodes {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
			cfg.Nodes = append(cfg.Nodes, Node{ID: a.String(), Name: "n" + a.String(), Pool: "p",
				Addresses: []netip.Addr{a}, Draining: s.draining, Down: s.down})
		}
		if got := addressesOf(mustView(t, cfg).lookup("www.example.org.", dns.TypeA, 0, at)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Clients are near the name server that their resolver has chosen; a region that is lost is answered for by the rest.
func TestSteeringByRegion(t *testing.T) {
	for _, tt := range []struct {
		name, own string
		nodes     []Node // 192.0.2.1 and on
		want      []string
	}{
		{"own region", "eu", []Node{{Region: "eu"}, {Region: "us"}, {Region: "eu"}}, []string{"192.0.2.1", "192.0.2.3"}},
		{"another", "us", []Node{{Region: "eu"}, {Region: "us"}, {Region: "us"}, {}}, []string{"192.0.2.2", "192.0.2.3"}},
		{"one near is not enough", "us", []Node{{Region: "eu"}, {Region: "us"}}, []string{"192.0.2.1", "192.0.2.2"}},
		{"one near is left", "eu", []Node{{Region: "eu"}, {Region: "eu", Down: true}, {Region: "us"}}, []string{"192.0.2.1", "192.0.2.3"}},
		{"the region is lost", "eu", []Node{{Region: "eu", Down: true}, {Region: "eu", Draining: true}, {Region: "us"}, {Region: "asia"}}, []string{"192.0.2.3", "192.0.2.4"}},
		{"all are lost", "eu", []Node{{Region: "eu", Down: true}, {Region: "us", Down: true}}, []string{"192.0.2.1", "192.0.2.2"}},
		{"no region", "", []Node{{}, {}, {Region: "us"}}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
	} {
		cfg := Config{
			Region:     tt.own,
			Zones:      []Zone{{ID: "z", Apex: "example.org", Pool: "dns"}},
			RecordSets: []RecordSet{{Zone: "z", Owner: "www.example.org", TTL: 30, Pool: "p"}},
		}
		for i, n := range tt.nodes {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
			n.ID, n.Name, n.Pool, n.Addresses = a.String(), "n"+a.String(), "p", []netip.Addr{a}
			cfg.Nodes = append(cfg.Nodes, n)
		}
		if got := addressesOf(mustView(t, cfg).lookup("www.example.org.", dns.TypeA, 0, at)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A node's health changes what is answered, not the names: they are not built again.
func TestSteeringKeepsShape(t *testing.T) {
	cfg := example()
	v := mustView(t, cfg)
	cfg.Nodes = slices.Clone(cfg.Nodes)
	cfg.Nodes[1].Down = true
	next := newView(cfg, v)
	if next.shape != v.shape {
		t.Error("names were built again for a change of health")
	}
	if got := addressesOf(next.lookup("www.example.org.", dns.TypeA, 0, at)); !slices.Equal(got, []string{"192.0.2.2"}) {
		t.Errorf("after n1 went down: %v", got)
	}
	if got := addressesOf(v.lookup("www.example.org.", dns.TypeA, 0, at)); len(got) != 2 {
		t.Errorf("the older view changed: %v", got)
	}
	cfg.Nodes = slices.Clone(cfg.Nodes)
	cfg.Nodes[1].Name = "renamed"
	if newView(cfg, next).shape == v.shape {
		t.Error("a new name server kept the old names")
	}
}

func TestRotation(t *testing.T) {
	v := mustView(t, example())
	for turn, want := range [][]string{{"192.0.2.1", "192.0.2.2"}, {"192.0.2.2", "192.0.2.1"}, {"192.0.2.1", "192.0.2.2"}} {
		if got := addressesOf(v.lookup("www.example.org.", dns.TypeA, uint32(turn), at)); !slices.Equal(got, want) {
			t.Errorf("turn %d: %v, want %v", turn, got, want)
		}
	}
}

// A and AAAA asked in pairs must not each see one parity of the counter.
func TestRotationOfPairs(t *testing.T) {
	s, _ := newServer(t, example())
	a, other := query(t, "www.example.org.", dns.TypeA, 0), query(t, "www.example.org.", dns.TypeAAAA, 0)
	first := map[string]int{}
	for range 1000 {
		first[mustUnpack(t, s.handle(a, netip.Addr{}, overUDP, nil)).Answer[0].(*dns.A).A.String()]++
		s.handle(other, netip.Addr{}, overUDP, nil)
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		if n := first[addr]; n < 450 || n > 550 {
			t.Errorf("%s came first %d of 1000 times", addr, n)
		}
	}
}

func addressesOf(a answer) []string {
	var out []string
	for _, rr := range a.answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return out
}
