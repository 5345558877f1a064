package tunnel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenNone = 1

// forever is 68 years, in seconds.
const forever = math.MaxInt32

// openTUN makes an interface of the system with our overlay address. A node has a route to all others there;
// a connector none, until kernelNet.route is called. The interface is gone when the device is closed or the
// process ends.
func openTUN(name string, self netip.Addr, role FilterRole) (*tunDevice, *kernelNet, error) {
	if err := alone(); err != nil {
		return nil, nil, fmt.Errorf("create interface %s: %w", name, err)
	}
	dev, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, nil, fmt.Errorf("create interface %s: %w", name, err)
	}
	nw, err := setUpTUN(dev, self, role)
	if err != nil {
		_ = dev.Close()
		return nil, nil, err
	}
	nw.dev = &tunDevice{Device: dev}
	return nw.dev, nw, nil
}

// outMost bounds the packets of our own that wait until WireGuard reads them. What does not fit is lost, like on any
// link.
const outMost = 4096

// tunDevice is an interface of the system to which packets can be added as if they had come out of it: the system
// lets nobody send an echo without a privilege more.
type tunDevice struct {
	tun.Device

	mu  sync.Mutex
	out [][]byte // guarded by mu; oldest first
}

// send adds packets, and ends a Read that waits: it has a file that takes deadlines.
func (d *tunDevice) send(packets [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out = append(d.out, packets[:min(len(packets), max(outMost-len(d.out), 0))]...)
	_ = d.File().SetReadDeadline(time.Unix(1, 0)) // of a closed file: nobody reads
}

// Read gives packets that the system or we ourselves send.
func (d *tunDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		if n := d.take(bufs, sizes, offset); n > 0 {
			return n, nil
		}
		n, err := d.Device.Read(bufs, sizes, offset)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// take moves packets of our own into buffers; when none are left, Read may wait again.
func (d *tunDevice) take(bufs [][]byte, sizes []int, offset int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(bufs), len(d.out))
	for i, p := range d.out[:n] {
		sizes[i] = copy(bufs[i][offset:], p)
	}
	if d.out = d.out[n:]; len(d.out) == 0 {
		d.out = nil
		_ = d.File().SetReadDeadline(time.Time{})
	}
	return n
}

// alone fails if another interface of this machine has an overlay address. The system would take a short cut
// between the two, around both tunnels.
func alone() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("addresses of interface %s: %w", l.Attrs().Name, err)
		}
		for _, a := range addrs {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && fabric.Overlay.Contains(ip) {
				return fmt.Errorf("interface %s has the overlay address %s: another node or connector runs on this machine", l.Attrs().Name, ip)
			}
		}
	}
	return nil
}

func setUpTUN(dev tun.Device, self netip.Addr, role FilterRole) (*kernelNet, error) {
	name, err := dev.Name()
	if err != nil {
		return nil, fmt.Errorf("interface name: %w", err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return nil, fmt.Errorf("interface %s: set MTU: %w", name, err)
	}
	// No link-local address: nobody inside the tunnels would answer to it.
	if err := netlink.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil {
		return nil, fmt.Errorf("interface %s: address generation: %w", name, err)
	}
	// Without duplicate address detection, which would hold the address back for a second. Deprecated: nothing
	// but our own sockets, which name it, is to be sent from there.
	addr := &netlink.Addr{IPNet: ipNet(host(self)), Flags: unix.IFA_F_NODAD, ValidLft: forever, PreferedLft: 0}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return nil, fmt.Errorf("interface %s: set address %s: %w", name, self, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("interface %s: set up: %w", name, err)
	}
	n := &kernelNet{self: self, name: name, index: link.Attrs().Index, each: role == ConnectorRole, routed: map[netip.Addr]bool{}}
	if n.each {
		return n, nil
	}
	if err := netlink.RouteReplace(n.way(fabric.Overlay)); err != nil {
		return nil, fmt.Errorf("interface %s: route %s: %w", name, fabric.Overlay, err)
	}
	return n, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// kernelNet is the system's TCP and UDP at our overlay address. Its sockets are bound to the interface: whoever sends
// packets with our overlay address to this machine by another one reaches none of them.
type kernelNet struct {
	self  netip.Addr
	dev   *tunDevice
	name  string
	index int
	each  bool // each peer has a route of its own

	routed map[netip.Addr]bool // by route alone
}

func (n *kernelNet) send(packets [][]byte) { n.dev.send(packets) }

func (n *kernelNet) way(to netip.Prefix) *netlink.Route {
	return &netlink.Route{LinkIndex: n.index, Dst: ipNet(to), Src: n.self.AsSlice()}
}

// route makes ways to these addresses, and to no others. It is not called twice at a time.
func (n *kernelNet) route(to []netip.Addr) error {
	if !n.each {
		return nil
	}
	want := make(map[netip.Addr]bool, len(to))
	for _, a := range to {
		want[a] = true
	}
	for a := range n.routed {
		if want[a] {
			continue
		}
		if err := netlink.RouteDel(n.way(host(a))); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("interface %s: no route to %s any more: %w", n.name, a, err)
		}
		delete(n.routed, a)
	}
	for a := range want {
		if n.routed[a] {
			continue
		}
		if err := netlink.RouteReplace(n.way(host(a))); err != nil {
			return fmt.Errorf("interface %s: route to %s: %w", n.name, a, err)
		}
		n.routed[a] = true
	}
	return nil
}

// bound binds a socket to the interface.
func (n *kernelNet) bound(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), n.name) }); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("bind to interface "+n.name, err)
}

func (n *kernelNet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.self, 0)), Control: n.bound}
	return d.DialContext(ctx, "tcp6", to.String())
}

func (n *kernelNet) listen(ctx context.Context, port uint16) (net.Listener, error) {
	lc := net.ListenConfig{Control: n.bound}
	return lc.Listen(ctx, "tcp6", netip.AddrPortFrom(n.self, port).String())
}

func (n *kernelNet) listenPacket(ctx context.Context, port uint16) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: n.bound}
	return lc.ListenPacket(ctx, "udp6", netip.AddrPortFrom(n.self, port).String())
}
