package model_test

import (
	"net/netip"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestHostPort(t *testing.T) {
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	pool := model.PoolID{}.New()
	node := func(port uint16, change func(*model.Node)) *model.Node {
		n := &model.Node{ID: model.NodeID{}.New(), Pool: pool, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, WireGuardKey: key.Public()}
		if port != 0 {
			n.StreamEndpoint = endpoint.At(netip.AddrPortFrom(n.Addresses[0], port))
		}
		if change != nil {
			change(n)
		}
		return n
	}
	strange := func(n *model.Node) { n.WireGuardKey = wgkey.Public{} }
	elsewhere := func(n *model.Node) { n.Pool = model.PoolID{}.New() }
	for name, tc := range map[string]struct {
		nodes []*model.Node
		want  string
	}{
		"no node":                    {nil, "wiki.example.org"},
		"a node that says nothing":   {[]*model.Node{node(0, nil)}, "wiki.example.org"},
		"the port of https":          {[]*model.Node{node(443, nil)}, "wiki.example.org"},
		"another port":               {[]*model.Node{node(8443, nil), node(8443, nil)}, "wiki.example.org:8443"},
		"nodes that don't agree":     {[]*model.Node{node(8443, nil), node(9443, nil)}, "wiki.example.org"},
		"one on the port of https":   {[]*model.Node{node(8443, nil), node(0, nil)}, "wiki.example.org"},
		"one that has not joined":    {[]*model.Node{node(8443, nil), node(9443, strange)}, "wiki.example.org:8443"},
		"one that serves other pool": {[]*model.Node{node(9443, elsewhere)}, "wiki.example.org"},
	} {
		all := map[model.NodeID]*model.Node{}
		for _, n := range tc.nodes {
			all[n.ID] = n
		}
		m := model.Empty().Apply(model.Batch{To: 1, Reload: true, Nodes: all})
		if got := m.HostPort(&model.Service{Hostname: "wiki.example.org", Pool: pool}); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
