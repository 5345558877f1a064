//go:build netns

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// overlayRoutes are the destinations in the overlay that this namespace has ways to.
func overlayRoutes() ([]string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range routes {
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok && fabric.Overlay.Contains(a) && a != theirConn {
			out = append(out, r.Dst.String())
		}
	}
	slices.Sort(out)
	return out, nil
}

// A connector on an interface of its system opens nothing there: it has ways to its nodes and nobody else, and
// its address is no other way to its host.
func TestTUNOfAConnector(t *testing.T) {
	node, site, lan := newNamespace(t), newNamespace(t), newNamespace(t)
	cable(t, node, site)
	site.in(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(lan.file.Fd()))})
	})
	site.in(t, func() error { return address("lan", "10.0.0.1/24") })
	lan.in(t, func() error { return address("eth0", "10.0.0.2/24") })

	on, oc := options(t, NodeRole), options(t, ConnectorRole)
	on.Mode, oc.Mode = ModeTUN, ModeAuto
	n, c := startIn(t, node, "node", us, on), startIn(t, site, "connector", theirConn, oc)
	if c.Mode() != ModeTUN {
		t.Fatalf("mode %s, want tun", c.Mode())
	}
	n.apply(t, c.seenBy(n))
	gone := Peer{ID: "gone", Kind: Node, Key: on.Key.Public(), Addr: otherNode}
	site.in(t, func() error {
		return c.Apply(t.Context(), Config{Addr: theirConn, Peers: []Peer{gone}})
	})
	site.in(t, func() error {
		return c.Apply(t.Context(), Config{Addr: theirConn, Peers: []Peer{n.at("192.0.2.1", c)}})
	})
	site.in(t, func() error {
		if got, err := overlayRoutes(); err != nil || !slices.Equal(got, []string{us.String() + "/128"}) {
			t.Errorf("routes %v, want to its node alone: %v", got, err)
		}
		return nil
	})
	echoIn(t, site, c, fabric.ConnectorPort)
	site.in(t, func() error { // a service of the host, at all of its addresses
		l, err := net.Listen("tcp6", "[::]:2222")
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
		return err
	})

	var conn net.Conn
	node.in(t, func() (err error) {
		conn, err = n.DialContext(t.Context(), netip.AddrPortFrom(theirConn, fabric.ConnectorPort))
		return err
	})
	defer conn.Close()
	exchange(t, conn, 2_000_000)

	// The host's own service is out of the node's reach.
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	node.do <- func() {
		_, err := n.DialContext(ctx, netip.AddrPortFrom(theirConn, 2222))
		result <- err
	}
	eventually(t, "the packet is dropped", func() bool { return counter(t, c.m.dropped[dropPort]) > 0 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("port 2222: %v, want no answer", err)
	}

	// Who is on its network and sends to its overlay address gets to none of its sockets.
	lan.in(t, func() error { return via("eth0", "10.0.0.1", theirConn) })
	site.in(t, func() error { return address6("lan", "fd00::1/64") })
	lan.in(t, func() error { return address6("eth0", "fd00::2/64") })
	lan.in(t, func() error {
		d := net.Dialer{Timeout: 20 * time.Second}
		conn, err := d.DialContext(t.Context(), "tcp6", netip.AddrPortFrom(theirConn, fabric.ConnectorPort).String())
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("streams from its network: %v, want refused", err)
		}
		return nil
	})

	// Another program of ours on the same machine leaves the system alone.
	for _, mode := range []string{ModeAuto, ModeTUN} {
		o := options(t, NodeRole)
		o.Mode, o.Interface = mode, "another"
		other, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		site.in(t, func() error { err = other.Apply(t.Context(), Config{Addr: otherNode}); return nil })
		if mode == ModeAuto && (err != nil || other.Mode() != ModeNetstack) {
			t.Errorf("auto: mode %s, %v", other.Mode(), err)
		}
		if mode == ModeTUN && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("interface %s has the overlay address %s", DefaultInterface, theirConn))) {
			t.Errorf("tun: %v", err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := other.Run(ended); err != nil && mode == ModeAuto {
			t.Error(err)
		}
	}
}

// address6 gives a link an address that may be used at once.
func address6(name, prefix string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	a.Flags = unix.IFA_F_NODAD
	return netlink.AddrReplace(l, a)
}

// via makes a way to an IPv6 address by the machine that has an IPv4 address on a link.
func via(link, gateway string, to netip.Addr) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	if _, err := net.DialTimeout("tcp4", gateway+":1", 1e9); err == nil { // so that its hardware address is known
		return errors.New("somebody listens on port 1")
	}
	neighbours, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
	if err != nil || len(neighbours) != 1 {
		return fmt.Errorf("neighbours %v: %w", neighbours, err)
	}
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: to.AsSlice(), HardwareAddr: neighbours[0].HardwareAddr,
	})
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(host(to))})
}
