//go:build netns

package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// roamer is a machine with two links, whose network changes under it.
type roamer struct {
	t     *testing.T
	links *netlink.Handle
}

func (r *roamer) link(name string) netlink.Link {
	r.t.Helper()
	l, err := r.links.LinkByName(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *roamer) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *roamer) addr(text string) *netlink.Addr {
	a, err := netlink.ParseAddr(text)
	r.must(err)
	a.Flags = unix.IFA_F_NODAD
	return a
}

// way makes a default route by a gateway.
func (r *roamer) way(gateway string) {
	r.t.Helper()
	_, all, _ := net.ParseCIDR("::/0")
	if netip.MustParseAddr(gateway).Is4() {
		_, all, _ = net.ParseCIDR("0.0.0.0/0")
	}
	r.must(r.links.RouteReplace(&netlink.Route{Dst: all, Gw: net.ParseIP(gateway)}))
}

// Each change is noticed because the system tells of it: the watch would look by itself in an hour only.
func TestChangesOfTheNetworkAreNoticed(t *testing.T) {
	n := newNamespace(t)
	h, err := netlink.NewHandleAt(netns.NsHandle(n.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	r := &roamer{t, h}
	for name, addrs := range map[string][]string{"wifi": {"192.0.2.10/24", "2001:db8:1::10/64"}, "cell": {"198.51.100.10/24"}} {
		r.must(h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far"}))
		r.must(h.LinkSetUp(r.link(name + "-far")))
		r.must(h.LinkSetUp(r.link(name)))
		for _, a := range addrs {
			r.must(h.AddrAdd(r.link(name), r.addr(a)))
		}
	}
	r.way("192.0.2.1")
	r.way("2001:db8:1::1")

	four, six := netip.MustParseAddrPort("203.0.113.1:51820"), netip.MustParseAddrPort("[2001:db8:9::1]:51820")
	changed, looked := make(chan struct{}, 64), make(chan struct{}, 1024)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	n.do <- func() { // its sockets are those of the namespace
		defer close(done)
		endpoints := func() []netip.AddrPort { looked <- struct{}{}; return []netip.AddrPort{four, six} }
		watch(ctx, time.Hour, endpoints, func() { changed <- struct{}{} }, func(time.Duration) {})
	}
	defer func() { cancel(); <-done }()
	wait := func(c <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(20 * time.Second):
			t.Fatal(what)
		}
	}
	notices := func(what string) {
		t.Helper()
		wait(changed, "not noticed: "+what)
	}
	// settle waits until all is seen that was done before, and says how often it mattered.
	number := 0
	settle := func() (times int) {
		t.Helper()
		for len(looked) > 0 {
			<-looked
		}
		number++
		r.must(h.AddrAdd(r.link("lo"), r.addr(fmt.Sprintf("127.0.1.%d/32", number))))
		wait(looked, "the watch does not look")
		r.must(h.AddrAdd(r.link("lo"), r.addr(fmt.Sprintf("127.0.2.%d/32", number))))
		wait(looked, "the watch does not look again")
		for ; len(changed) > 0; times++ {
			<-changed
		}
		return times
	}
	quiet := func(what string) {
		t.Helper()
		if n := settle(); n > 0 {
			t.Errorf("%s: called a change %d times", what, n)
		}
	}
	quiet("nothing")

	r.must(h.AddrAdd(r.link("wifi"), r.addr("192.0.2.20/24")))
	r.must(h.AddrDel(r.link("wifi"), r.addr("192.0.2.10/24"))) // the other one is of the same network, and goes along
	r.must(h.AddrReplace(r.link("wifi"), r.addr("192.0.2.20/24")))
	r.way("192.0.2.1")
	notices("an address is replaced")

	r.must(h.LinkSetDown(r.link("wifi")))
	r.way("198.51.100.1")
	notices("a link goes down, and the default route moves to the other one")

	r.must(h.LinkSetUp(r.link("wifi")))
	r.must(h.AddrReplace(r.link("wifi"), r.addr("2001:db8:1::20/64")))
	r.way("2001:db8:1::1")
	notices("the link comes up again, with another IPv6 address")

	settle()
	r.way("192.0.2.1")
	notices("the default route moves back")

	settle()
	r.must(h.AddrDel(r.link("wifi"), r.addr("192.0.2.20/24")))
	r.must(h.LinkSetDown(r.link("cell")))
	quiet("IPv4 goes, IPv6 stays")
	r.must(h.AddrAdd(r.link("wifi"), r.addr("192.0.2.20/24")))
	r.way("192.0.2.1")
	notices("IPv4 is back, where it was")
}
