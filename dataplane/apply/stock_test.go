package apply

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/tunnel"
)

const router = "fd57:6172:7265:3::9"

func stockSiteMsg(nodes ...string) *nodev1.Site {
	return &nodev1.Site{
		Id: "site_9", Name: "router", Kind: nodev1.SiteKind_SITE_KIND_WIREGUARD, NodeIds: nodes,
		Targets:       []*nodev1.ConnectorTarget{{Id: "target_9", Address: router, Port: 80}},
		WireguardPeer: &nodev1.WireGuardPeer{PublicKey: slices.Repeat([]byte{9}, 32), OverlayAddress: router},
	}
}

func stockPeerOf(m *machine) (out []tunnel.Peer) {
	for _, p := range m.tunnel.Peers {
		if p.Kind == tunnel.Stock {
			out = append(out, p)
		}
	}
	return out
}

// A node holds the peer of a site that lists it, dials its targets, and tells of it while its tunnel is up.
func TestStockSites(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	c := &chatter{changed: make(chan struct{}, 1)}
	up := false
	n.sub.Gossip, n.sub.Up = c, func(peer string) bool { return up && peer == "site_9" }
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "site/o/site_9", stockSiteMsg(me, "node_b"))))
	addr := netip.MustParseAddr(router)
	if got := stockPeerOf(m); len(got) != 1 || got[0].ID != "site_9" || got[0].Addr != addr || !got[0].Endpoint.IsZero() {
		t.Errorf("%+v", got)
	}
	want := []connector.Config{{Site: "site_9", Peer: addr, Targets: map[string]connector.Target{"target_9": {Address: "[" + router + "]:80"}}}}
	if d := cmp.Diff(want, m.local, addrs); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if i := slices.IndexFunc(m.fabric.Sites, func(s fabric.Site) bool { return s.ID == "site_9" }); !m.fabric.Sites[i].Local {
		t.Errorf("%+v", m.fabric.Sites[i])
	}
	for _, is := range []bool{false, true} {
		up = is
		n.tellSites()
		if slices.Contains(c.sites, "site_9") != is {
			t.Errorf("up %v, told %v", is, c.sites)
		}
	}

	// No key yet, or the tunnels are other nodes' business: no peer, and nothing to dial.
	without := stockSiteMsg(me)
	without.WireguardPeer = nil
	for i, msg := range []*nodev1.Site{without, stockSiteMsg("node_b")} {
		must(t, n, tx(7+uint64(i), res(t, "site/o/site_9", msg)))
		n.tellSites()
		if len(stockPeerOf(m)) != 0 || len(m.local) != 0 || slices.Contains(c.sites, "site_9") {
			t.Errorf("%+v %+v %v", stockPeerOf(m), m.local, c.sites)
		}
	}
}

// What is wrong with a peer is said of its site.
func TestStockPeerThatIsRefused(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	for name, change := range map[string]func(*nodev1.Site){
		"a short key":       func(s *nodev1.Site) { s.WireguardPeer.PublicKey = []byte{1} },
		"no key":            func(s *nodev1.Site) { s.WireguardPeer.PublicKey = make([]byte, 32) },
		"a foreign address": func(s *nodev1.Site) { s.WireguardPeer.OverlayAddress = "10.0.0.1" },
	} {
		bad := stockSiteMsg(me)
		change(bad)
		if rej := must(t, n, tx(6, res(t, "site/o/site_9", bad))); len(rej) != 1 || len(stockPeerOf(m)) != 0 {
			t.Errorf("%s: %v %+v", name, rej, stockPeerOf(m))
		}
	}
	m.out = errors.Join(&tunnel.PeerError{ID: "site_9", Err: errBroken})
	if got := said(must(t, n, tx(7, res(t, "site/o/site_9", stockSiteMsg(me))))); len(got) != 1 || got[0] != "site/o/site_9: peer site_9: broken" {
		t.Errorf("%q", got)
	}
}
