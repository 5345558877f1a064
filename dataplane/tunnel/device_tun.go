package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenNone = 1

// openTUN makes an interface of the system with our overlay address, and a route to all others. It is
// gone when the device is closed or the process ends.
func openTUN(name string, self netip.Addr) (tun.Device, error) {
	dev, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, fmt.Errorf("create interface %s: %w", name, err)
	}
	if err := setUpTUN(dev, self); err != nil {
		_ = dev.Close()
		return nil, err
	}
	return dev, nil
}

func setUpTUN(dev tun.Device, self netip.Addr) error {
	name, err := dev.Name()
	if err != nil {
		return fmt.Errorf("interface name: %w", err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("interface %s: set MTU: %w", name, err)
	}
	// No link-local address: nobody inside the tunnels would answer to it.
	if err := netlink.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil {
		return fmt.Errorf("interface %s: address generation: %w", name, err)
	}
	// Without duplicate address detection, which would hold the address back for a second.
	addr := &netlink.Addr{IPNet: ipNet(host(self)), Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("interface %s: set address %s: %w", name, self, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s: set up: %w", name, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(fabric.Overlay), Src: self.AsSlice()}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("interface %s: route %s: %w", name, fabric.Overlay, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// kernelNet is the system's TCP at our overlay address.
type kernelNet struct{ self netip.Addr }

func (n kernelNet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.self, 0))}
	return d.DialContext(ctx, "tcp6", to.String())
}

func (n kernelNet) listen(ctx context.Context, port uint16) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp6", netip.AddrPortFrom(n.self, port).String())
}
