//go:build netns

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/endpoint"
)

// namespace is a network of its own, on a thread of its own: sockets stay where they were made.
type namespace struct {
	file *os.File
	do   chan func()
}

// newNamespace makes a network with a loopback interface. It ends with the test.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and TUN interfaces: run it as root, with make e2e")
	}
	n := &namespace{do: make(chan func())}
	ready := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range n.do {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(n.do)
		<-ended
		_ = n.file.Close()
	})
	n.in(t, func() error { return up("lo") })
	return n
}

// in runs f in the namespace.
func (n *namespace) in(t *testing.T, f func() error) {
	t.Helper()
	err := make(chan error, 1)
	n.do <- func() { err <- f() }
	if err := <-err; err != nil {
		t.Fatal(err)
	}
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return netlink.LinkSetUp(l)
}

func address(name, prefix string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, a); err != nil {
		return fmt.Errorf("address %s: %w", prefix, err)
	}
	return netlink.LinkSetUp(l)
}

// cable connects two namespaces: 192.0.2.1 is a, 192.0.2.2 is b.
func cable(t *testing.T, a, b *namespace) {
	t.Helper()
	a.in(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(b.file.Fd()))})
	})
	a.in(t, func() error { return address("eth0", "192.0.2.1/24") })
	b.in(t, func() error { return address("eth0", "192.0.2.2/24") })
}

// startIn is start within a namespace.
func startIn(t *testing.T, n *namespace, id string, addr netip.Addr, o Options) *end {
	t.Helper()
	tun, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tun.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	e := &end{Tunnel: tun, id: id, addr: addr, role: o.Filter}
	n.in(t, func() error { return tun.Apply(t.Context(), Config{Addr: addr}) })
	return e
}

func (e *end) at(ip string, other *end) Peer {
	p := e.seenBy(other)
	p.Endpoint = endpoint.At(netip.AddrPortFrom(netip.MustParseAddr(ip), e.ListenPort()))
	return p
}

// echoIn is echo within a namespace.
func echoIn(t *testing.T, n *namespace, e *end, port uint16) {
	t.Helper()
	n.in(t, func() error { echo(t, e, port); return nil })
}

func TestTUN(t *testing.T) {
	for _, mode := range []string{ModeTUN, ModeNetstack} { // of the node that is called; the caller has a TUN
		t.Run(mode, func(t *testing.T) {
			na, nb := newNamespace(t), newNamespace(t)
			cable(t, na, nb)
			oa, ob := options(t, NodeRole), options(t, NodeRole)
			oa.Mode, ob.Mode = ModeAuto, mode
			a, b := startIn(t, na, "a", us, oa), startIn(t, nb, "b", otherNode, ob)
			if a.Mode() != ModeTUN || b.Mode() != mode {
				t.Fatalf("modes %s and %s, want tun and %s", a.Mode(), b.Mode(), mode)
			}
			b.apply(t, with(a.seenBy(b), func(p *Peer) { p.Endpoint, p.Keepalive = endpoint.Endpoint{}, 0 })) // it is called
			a.apply(t, b.at("192.0.2.2", a))
			echoIn(t, nb, b, fabric.RelayPort)
			echoIn(t, nb, b, 22)

			var conn net.Conn
			na.in(t, func() (err error) {
				conn, err = a.DialContext(t.Context(), netip.AddrPortFrom(otherNode, fabric.RelayPort))
				return err
			})
			defer conn.Close()
			exchange(t, conn, 2_000_000)
			if got := fabric.RemoteAddr(conn); got != otherNode {
				t.Errorf("remote address %v", got)
			}

			// The way to everything else is shut, whatever listens there.
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			na.do <- func() {
				// The thread stays busy until the dial ends: nothing else is asked of it meanwhile.
				_, err := a.DialContext(ctx, netip.AddrPortFrom(otherNode, 22))
				result <- err
			}
			eventually(t, "the packet is dropped", func() bool { return counter(t, b.m.dropped[dropPort]) > 0 })
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("port 22: %v, want no answer", err)
			}
		})
	}
}

func TestTUNInterface(t *testing.T) {
	n := newNamespace(t)
	o := options(t, NodeRole)
	o.Mode, o.Interface = ModeTUN, "wrn-test"
	tun, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tun.Run(ctx) }()
	n.in(t, func() error { return tun.Apply(t.Context(), Config{Addr: us}) })
	n.in(t, func() error {
		l, err := netlink.LinkByName("wrn-test")
		if err != nil {
			return err
		}
		if l.Attrs().MTU != mtu || l.Attrs().Flags&net.FlagUp == 0 {
			t.Errorf("MTU %d, flags %v", l.Attrs().MTU, l.Attrs().Flags)
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		if len(addrs) != 1 || addrs[0].IPNet.String() != us.String()+"/128" {
			t.Errorf("addresses %v, want %s alone", addrs, us)
		}
		routes, err := netlink.RouteGet(otherNode.AsSlice())
		if err != nil {
			return err
		}
		if len(routes) != 1 || routes[0].LinkIndex != l.Attrs().Index {
			t.Errorf("routes %v", routes)
		}
		return nil
	})

	// Where TUN can't be had, auto goes on with netstack and tun says why it does not.
	for _, mode := range []string{ModeAuto, ModeTUN} {
		o := options(t, NodeRole)
		o.Mode, o.Interface = mode, "wrn-test"
		other, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		n.in(t, func() error { err = other.Apply(t.Context(), Config{Addr: otherNode}); return nil })
		switch {
		case mode == ModeAuto && (err != nil || other.Mode() != ModeNetstack):
			t.Errorf("auto: mode %s, %v", other.Mode(), err)
		case mode == ModeTUN && (err == nil || !strings.Contains(err.Error(), "interface wrn-test")):
			t.Errorf("tun: %v", err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := other.Run(ended); err != nil && mode == ModeAuto {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	n.in(t, func() error {
		deadline := time.Now().Add(10 * time.Second)
		for {
			_, err := netlink.LinkByName("wrn-test")
			if errors.As(err, new(netlink.LinkNotFoundError)) {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the interface outlived its tunnel: %w", err)
			}
			runtime.Gosched()
		}
	})
}
