package apply

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/endpoint"
)

// A node takes streams from the connectors of its own sites, and knows the others.
func TestNodeStreams(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	if want := map[string]bool{"connector_site_1": true, "connector_site_2": false}; !maps.Equal(m.ends.Peers, want) {
		t.Errorf("%v, want %v", m.ends.Peers, want)
	}
	moved := siteMsg("site_1", 3, "node_b")
	moved.Carrier, moved.RegionId = nodev1.Carrier_CARRIER_WIREGUARD, "region_1"
	self := nodeConfigMsg()
	self.RegionId = "region_2"
	other := nodeMsg("node_b", "b", 2)
	other.RegionId = "region_3"
	must(t, n, tx(6, res(t, "site/o/site_1", moved), res(t, "nodeconfig/"+me, self), res(t, "node/node_b", other)))
	if m.ends.Peers["connector_site_1"] {
		t.Error("the connector of a site that has moved still has its streams here")
	}
	for _, s := range m.fabric.Sites {
		if s.ID == "site_1" && (s.Carrier != fabric.CarrierWireGuard || s.Region != "region_1") || s.ID == "site_2" && s.Carrier != "" {
			t.Errorf("%+v", s)
		}
	}
	for _, o := range m.fabric.Nodes {
		if o.ID == "node_b" && o.Region != "region_3" {
			t.Errorf("%+v", o)
		}
	}
	if m.fabric.Region != "region_2" || m.dns.Region != "region_2" || !slices.ContainsFunc(m.dns.Nodes, func(o dns.Node) bool { return o.ID == "node_b" && o.Region == "region_3" }) {
		t.Errorf("region %q, DNS %+v", m.fabric.Region, m.dns)
	}
	gone := tx(7)
	gone.Removed["type.googleapis.com/warren.node.v1.Site"] = []string{"site/o/site_1"}
	must(t, n, gone)
	if _, ok := m.ends.Peers["connector_site_1"]; ok {
		t.Error("a connector that is gone is known")
	}
}

// A connector dials the nodes that say where; the others it has tunnels to.
func TestConnectorStreams(t *testing.T) {
	c, m := newConnector(t, t.TempDir())
	msg := connectorMsg()
	msg.Nodes[0].StreamEndpoint = ""
	must(t, c, tx(3, res(t, "connectorconfig/o/site_1", msg)))
	if len(m.dials.Nodes) != 0 || len(m.tunnel.Peers) != 1 {
		t.Errorf("dials %v", m.dials.Nodes)
	}
	msg.Nodes[0].StreamEndpoint = "198.51.100.2:443"
	must(t, c, tx(4, res(t, "connectorconfig/o/site_1", msg)))
	if want := map[string]endpoint.Endpoint{"node_b": endpoint.MustParse("198.51.100.2:443")}; !maps.Equal(m.dials.Nodes, want) {
		t.Errorf("dials %v, want %v", m.dials.Nodes, want)
	}
	msg.Nodes[0].StreamEndpoint = "edge.example.org:443"
	rej := must(t, c, tx(5, res(t, "connectorconfig/o/site_1", msg)))
	if len(rej) != 1 || !strings.Contains(rej[0].GetReason(), "nodes[0].stream_endpoint") || len(m.dials.Nodes) != 1 {
		t.Errorf("%v, dials %v", rej, m.dials.Nodes)
	}
}

// Every other node may dial this one, to relay for it, and is dialled where it says, to be relayed for. Who is
// revoked is neither.
func TestNodesRelayForEachOther(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	if want := map[string]bool{"node_b": true}; !maps.Equal(m.nodes.Peers, want) || len(m.dials.Nodes) != 0 {
		t.Errorf("from %v, to %v", m.nodes.Peers, m.dials.Nodes)
	}
	b, self := nodeMsg("node_b", "b", 2), nodeMsg(me, "me", 1)
	b.StreamEndpoint, self.StreamEndpoint = "198.51.100.2:443", "198.51.100.1:443"
	must(t, n, tx(6, res(t, "node/node_b", b), res(t, "node/"+me, self)))
	if want := map[string]endpoint.Endpoint{"node_b": endpoint.MustParse("198.51.100.2:443")}; !maps.Equal(m.dials.Nodes, want) {
		t.Errorf("to %v, want %v", m.dials.Nodes, want)
	}
	b.StreamEndpoint = "edge.example.org:443"
	rej := must(t, n, tx(7, res(t, "node/node_b", b)))
	if len(rej) != 1 || !strings.Contains(rej[0].GetReason(), "stream_endpoint") || len(m.dials.Nodes) != 1 {
		t.Errorf("%v, to %v", rej, m.dials.Nodes)
	}
	gone := tx(8)
	gone.Removed["type.googleapis.com/warren.node.v1.Node"] = []string{"node/node_b"}
	must(t, n, gone)
	if len(m.nodes.Peers) != 0 || len(m.dials.Nodes) != 0 {
		t.Errorf("revoked: from %v, to %v", m.nodes.Peers, m.dials.Nodes)
	}
}

// Nodes are reached by their names where they have some, also before an address is known.
func TestNodesAreReachedByName(t *testing.T) {
	name := endpoint.MustParse("edge.example.org:8443")
	known := name.Or(netip.MustParseAddr("198.51.100.2"))
	c, cm := newConnector(t, t.TempDir())
	msg := connectorMsg()
	msg.Nodes[0].WireguardEndpoint, msg.Nodes[0].WireguardName, msg.Nodes[0].StreamEndpoint, msg.Nodes[0].StreamName = "", name.Named(), known.Fixed(), name.Named()
	if rej := must(t, c, tx(3, res(t, "connectorconfig/o/site_1", msg))); len(rej) != 0 {
		t.Error(rej)
	}
	if p := cm.tunnel.Peers[0]; p.Endpoint != name || p.TLS != known || cm.dials.Nodes["node_b"] != known {
		t.Errorf("connector: %+v, dials %+v", p, cm.dials.Nodes)
	}
	n, nm := newNode(t, t.TempDir())
	must(t, n, world(t))
	b := nodeMsg("node_b", "b", 2)
	b.WireguardEndpoint, b.WireguardName, b.StreamName = known.Fixed(), name.Named(), name.Named()
	if rej := must(t, n, tx(6, res(t, "node/node_b", b))); len(rej) != 0 {
		t.Error(rej)
	}
	i := slices.IndexFunc(nm.tunnel.Peers, func(p tunnel.Peer) bool { return p.ID == "node_b" })
	if i < 0 || nm.tunnel.Peers[i].Endpoint != known || nm.dials.Nodes["node_b"] != name {
		t.Errorf("node: %+v, dials %+v", nm.tunnel.Peers, nm.dials.Nodes)
	}
}
