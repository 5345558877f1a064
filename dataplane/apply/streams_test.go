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
)

// A node takes streams from the connectors of its own sites, and knows the others.
func TestNodeStreams(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	if want := map[string]bool{"connector_site_1": true, "connector_site_2": false}; !maps.Equal(m.ends.Connectors, want) {
		t.Errorf("%v, want %v", m.ends.Connectors, want)
	}
	moved := siteMsg("site_1", 3, "node_b")
	moved.Carrier, moved.RegionId = nodev1.Carrier_CARRIER_WIREGUARD, "region_1"
	self := nodeConfigMsg()
	self.RegionId = "region_2"
	other := nodeMsg("node_b", "b", 2)
	other.RegionId = "region_3"
	must(t, n, tx(6, res(t, "site/o/site_1", moved), res(t, "nodeconfig/"+me, self), res(t, "node/node_b", other)))
	if m.ends.Connectors["connector_site_1"] {
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
	if _, ok := m.ends.Connectors["connector_site_1"]; ok {
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
	if want := map[string]netip.AddrPort{"node_b": netip.MustParseAddrPort("198.51.100.2:443")}; !maps.Equal(m.dials.Nodes, want) {
		t.Errorf("dials %v, want %v", m.dials.Nodes, want)
	}
	msg.Nodes[0].StreamEndpoint = "edge.example.org:443"
	rej := must(t, c, tx(5, res(t, "connectorconfig/o/site_1", msg)))
	if len(rej) != 1 || !strings.Contains(rej[0].GetReason(), "nodes[0].stream_endpoint") || len(m.dials.Nodes) != 1 {
		t.Errorf("%v, dials %v", rej, m.dials.Nodes)
	}
}
