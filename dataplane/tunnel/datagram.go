package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ListenPacket takes datagrams on our own overlay address; the filter lets those to the heartbeat port
// in. It waits until the device is up.
func (t *Tunnel) ListenPacket(ctx context.Context, port uint16) (net.PacketConn, error) {
	nw, err := t.await(ctx)
	if err != nil {
		return nil, fmt.Errorf("tunnel: listen on UDP port %d: %w", port, err)
	}
	return nw.listenPacket(ctx, port)
}

func (n kernelNet) listenPacket(ctx context.Context, port uint16) (net.PacketConn, error) {
	var lc net.ListenConfig
	return lc.ListenPacket(ctx, "udp6", netip.AddrPortFrom(n.self, port).String())
}

func (d *netstackDevice) listenPacket(_ context.Context, port uint16) (net.PacketConn, error) {
	fail := func(err tcpip.Error) (net.PacketConn, error) {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.self, port)), Err: tcpError(err)}
	}
	wq := new(waiter.Queue)
	ep, terr := d.stack.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, wq)
	if terr != nil {
		return fail(terr)
	}
	if terr := ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom16(d.self.As16()), Port: port}); terr != nil {
		ep.Close()
		return fail(terr)
	}
	return gonet.NewUDPConn(wq, ep), nil
}
