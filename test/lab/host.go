package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is one machine: a namespace with one address, or one of each family.
type Host struct {
	Name string
	Addr netip.Addr // the first that it was given
	lab  *Lab
	ns   string
	wire *wire // to the segment that it was made in; of a router, to the internet

	addrs []netip.Prefix // guarded by lab.mu
}

// internet says how much of the address space is on the internet's one segment.
func internet(addr string) netip.Prefix {
	a := netip.MustParseAddr(addr)
	if a.Is4() {
		return netip.PrefixFrom(a, 16)
	}
	return netip.PrefixFrom(a, 32)
}

// Host puts a machine on the internet, with an IPv4 address, an IPv6 address, or both.
// All internet hosts share one /16 and one IPv6 /32 and see each other directly.
func (l *Lab) Host(name string, addrs ...string) *Host {
	l.t.Helper()
	var prefixes []netip.Prefix
	for _, a := range addrs {
		prefixes = append(prefixes, internet(a))
	}
	return l.host(l.internet, name, prefixes)
}

func (l *Lab) host(s *segment, name string, addrs []netip.Prefix) *Host {
	l.t.Helper()
	if len(addrs) == 0 || l.hosts[name] != nil {
		l.t.Fatalf("host %s: %d addresses; a name is given once", name, len(addrs))
	}
	h := &Host{Name: name, Addr: addrs[0].Addr(), addrs: addrs, lab: l, ns: l.namespace(name)}
	h.wire = l.plug(s, h.ns, "eth0", addrs...)
	l.hosts[name] = h
	l.order = append(l.order, h)
	return h
}

// Namespace is the host's name for ip netns exec.
func (h *Host) Namespace() string { return h.ns }

// Addrs are the addresses that the host has now.
func (h *Host) Addrs() []netip.Addr {
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	return h.addrsLocked()
}

func (h *Host) addrsLocked() []netip.Addr {
	var out []netip.Addr
	for _, p := range h.addrs {
		out = append(out, p.Addr())
	}
	return out
}

// ChangeAddr gives the host another address of the same network in place of the one of that family.
// Partitions go on to hold for the host, not for the address.
func (h *Host) ChangeAddr(addr string) error {
	now, err := netip.ParseAddr(addr)
	if err != nil {
		return fmt.Errorf("%s: change address: %w", h.Name, err)
	}
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	i := slices.IndexFunc(h.addrs, func(p netip.Prefix) bool { return p.Addr().Is4() == now.Is4() })
	if i < 0 {
		return fmt.Errorf("%s: change address to %s: the host has none of that family", h.Name, now)
	}
	old := h.addrs[i]
	if !old.Masked().Contains(now) || old.Addr() == now {
		return fmt.Errorf("%s: change address to %s: want another one in %s", h.Name, now, old.Masked())
	}
	want := netip.PrefixFrom(now, old.Bits())
	if err := addAddr(h.ns, h.wire.ifname, want); err != nil {
		return err
	}
	addrs := slices.Clone(h.addrs) // what others hold of the old slice stays as it was
	addrs[i] = want
	h.addrs = addrs
	return errors.Join(
		system("", "ip", "-n", h.ns, "addr", "del", old.String(), "dev", h.wire.ifname),
		h.lab.applyWallLocked(),
	)
}

// Command prepares a command on the host.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return h.CommandContext(context.Background(), name, args...)
}

// CommandContext is Command that ends with ctx.
func (h *Host) CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...)
}

// Run runs a command on the host to its end and returns what it printed on stdout; a failure ends the test.
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	cmd := h.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.lab.t.Fatalf("%s: %s %s: %v\n%s%s", h.Name, name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// nft loads a ruleset into a namespace.
func nft(ns, rules string) error {
	return system(rules, "ip", "netns", "exec", ns, "nft", "-f", "-")
}

// In runs f on a thread that is in the host's namespace: sockets that f opens stay there.
func (h *Host) In(f func() error) error { return inside(h.ns, f) }

func inside(name string, f func() error) error {
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its namespace with it
		ns, err := os.Open(filepath.Join("/run/netns", name))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err != nil {
			errc <- fmt.Errorf("enter %s: %w", name, err)
			return
		}
		errc <- f()
	}()
	return <-errc
}

// Dial opens a connection from the host to an address and port.
func (h *Host) Dial(ctx context.Context, network string, addr netip.AddrPort) (conn net.Conn, err error) {
	err = h.In(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr.String())
		return err
	})
	return conn, err
}

// Listen opens a TCP listener on the host that closes with the test.
func (h *Host) Listen(port int) net.Listener {
	h.lab.t.Helper()
	var ln net.Listener
	err := h.In(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(h.Addr, uint16(port)).String())
		return err
	})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// ListenUDP opens a UDP socket on the host that closes with the test.
func (h *Host) ListenUDP(port int) *net.UDPConn {
	h.lab.t.Helper()
	var conn *net.UDPConn
	err := h.In(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Addr, uint16(port))))
		return err
	})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Resolver makes a name server the one that programs on the host ask.
func (h *Host) Resolver(server netip.Addr) {
	h.lab.t.Helper()
	h.Etc("resolv.conf", "nameserver "+server.String()+"\n")
}

// Etc gives programs that are started on the host from now on a file of their own below /etc. Its first folder stands in place
// of the system's, which has to have one of that name.
func (h *Host) Etc(name, text string) {
	h.lab.t.Helper()
	dir := filepath.Join("/etc/netns", h.ns) // "ip netns exec" mounts what is in it
	h.lab.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.lab.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.lab.t.Fatal(err)
	}
}
